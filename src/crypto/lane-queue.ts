import { type Party, SubjectTurns } from './subject-turns';

/** The lane is full; nothing was begun. */
export class LaneFull extends Error {}

/** Where work waits, and on whose behalf: nobody's work stands in the way of others because there is much of it. */
export interface Place<Lane extends string> extends Party {
  lane: Lane;
}

/** One who waits for a slot. */
interface Waiter {
  begin: () => void;
  giveUp: (reason: LaneFull) => void;
}

/**
 * Runs work in a fixed number of slots. What waits is queued in lanes of bounded length. Lanes take turns, in a lane its networks, and in
 * a network its subjects: whoever fills one delays another by one turn each. In a full lane a newcomer whose network, else whose
 * subject, has at least two fewer waiting than the one with the most takes the place of that one's last; anyone else is refused. So
 * nobody fills a lane for the others, neither with much of his own nor with little of many accounts, and nobody is turned away while
 * there is room.
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
  hasRoom(place: Place<Lane>): boolean {
    const turns = this.waiting.get(place.lane);
    const length = turns?.length ?? 0;
    return length < this.limits[place.lane] || turns?.yieldsTo(place) === true;
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

  private turn(place: Place<Lane>): Promise<void> {
    const { lane } = place;
    return new Promise((begin, giveUp) => {
      const turns = this.waiting.get(lane) ?? new SubjectTurns<Waiter>();
      if (turns.length >= this.limits[lane]) turns.dropFor(place)?.giveUp(new LaneFull());
      turns.add(place, { begin, giveUp });
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
