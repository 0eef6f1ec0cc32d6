import { SubjectTurns } from './subject-turns';

/** The lane is full; nothing was begun. */
export class LaneFull extends Error {}

/** Where work waits. */
export interface Place<Lane extends string> {
  lane: Lane;
  /** On whose behalf: nobody's work stands in the way of others because there is much of it. */
  subject: string;
}

/** One who waits for a slot. */
interface Waiter {
  begin: () => void;
  giveUp: (reason: LaneFull) => void;
}

/**
 * Runs work in a fixed number of slots. What waits is queued in lanes of a bounded length, which take turns, and so do the
 * subjects within a lane: whoever fills one keeps nobody waiting in another for longer than one turn each. In a full lane a
 * subject that has at least two fewer waiting than the one with the most takes the place of that one's last; anyone else is
 * refused. So nobody fills a lane for the others, and nobody is turned away while there is room.
 */
export class LaneQueue<Lane extends string> {
  private readonly waiting = new Map<Lane, SubjectTurns<Waiter>>();
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
    const lanes = lane === undefined ? [...this.waiting.values()] : [this.waiting.get(lane)];
    return lanes.reduce((sum, turns) => sum + (turns?.length ?? 0), 0);
  }

  /** Whether what comes to that place now is let in, be it in the place of another. */
  hasRoom({ lane, subject }: Place<Lane>): boolean {
    const turns = this.waiting.get(lane);
    const length = turns?.length ?? 0;
    if (length < this.limits[lane]) return true;
    // Two more: with one more the two would only change places, and turn each other away without end.
    return turns !== undefined && turns.longest > turns.of(subject) + 1;
  }

  /**
   * Does the work when its turn comes.
   *
   * @throws LaneFull at once, when as many wait in that lane already as may, and later, when the place is given to another
   */
  async run<T>(place: Place<Lane>, work: () => Promise<T>): Promise<T> {
    if (!this.hasRoom(place)) throw new LaneFull();
    await this.turn(place);
    try {
      return await work();
    } finally {
      this.free += 1;
      this.callNext();
    }
  }

  private turn({ lane, subject }: Place<Lane>): Promise<void> {
    return new Promise((begin, giveUp) => {
      const turns = this.waiting.get(lane) ?? new SubjectTurns<Waiter>();
      if (turns.length >= this.limits[lane]) turns.dropLast()?.giveUp(new LaneFull());
      turns.add(subject, { begin, giveUp });
      this.waiting.set(lane, turns);
      this.callNext();
    });
  }

  /** The lane whose turn it is goes to the end of the order, or leaves it when nobody is left in it. */
  private callNext(): void {
    const [next] = this.waiting;
    if (!next || this.free === 0) return;
    const [lane, turns] = next;
    const waiter = turns.next();
    this.waiting.delete(lane);
    if (turns.length > 0) this.waiting.set(lane, turns);
    this.free -= 1;
    waiter?.begin();
  }
}
