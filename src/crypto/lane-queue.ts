/** The lane is full; nothing was begun. */
export class LaneFull extends Error {}

/**
 * Hands out a few slots to work that comes by different lanes. Each lane has a length of its own, and the lanes in which
 * something waits take turns: whoever fills one keeps nobody waiting in another for longer than one turn each.
 */
export class LaneQueue<Lane extends string> {
  private readonly waiting = new Map<Lane, (() => void)[]>();
  private free: number;

  /**
   * @param limits how many may wait in each lane
   * @param slots how many are under way at once
   */
  constructor(
    public limits: Readonly<Record<Lane, number>>,
    slots: number,
  ) {
    this.free = slots;
  }

  /** How many wait, in one lane or in all of them. */
  length(lane?: Lane): number {
    const lanes = lane === undefined ? [...this.waiting.values()] : [this.waiting.get(lane) ?? []];
    return lanes.reduce((sum, { length }) => sum + length, 0);
  }

  /**
   * Does the work when its turn comes.
   *
   * @throws LaneFull at once, when as many wait in that lane already as may
   */
  async run<T>(lane: Lane, work: () => Promise<T>): Promise<T> {
    if (this.length(lane) >= this.limits[lane]) throw new LaneFull();
    await this.turn(lane);
    try {
      return await work();
    } finally {
      this.free += 1;
      this.callNext();
    }
  }

  private turn(lane: Lane): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.set(lane, [...(this.waiting.get(lane) ?? []), resolve]);
      this.callNext();
    });
  }

  /** The lane whose turn it is goes to the end of the order, or leaves it when nobody is left in it. */
  private callNext(): void {
    const [next] = this.waiting;
    if (!next || this.free === 0) return;
    const [lane, [first, ...rest]] = next;
    this.waiting.delete(lane);
    if (rest.length > 0) this.waiting.set(lane, rest);
    this.free -= 1;
    first?.();
  }
}
