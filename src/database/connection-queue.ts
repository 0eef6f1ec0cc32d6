import { ApiError } from '../core/errors';

/** Has as many tasks under way as there are connections, in the order in which they came. */
export class ConnectionQueue {
  private readonly waiting: (() => void)[] = [];

  /**
   * @param free connections: one on SQLite
   * @param places how many may wait
   */
  constructor(
    private free: number,
    private readonly places: number,
  ) {}

  /**
   * The task's own result or failure; a failure does not stop those behind it.
   *
   * @throws ApiError `service_unavailable` at once when too many wait already
   */
  async push<T>(task: () => Promise<T>): Promise<T> {
    if (this.waiting.length >= this.places) {
      throw new ApiError('service_unavailable', { cause: new Error('Too many wait for the database') });
    }
    return this.run(task, (turn) => this.waiting.push(turn));
  }

  /** The same before everybody who waits, however many they are: for what all of them rely on. */
  pushFirst<T>(task: () => Promise<T>): Promise<T> {
    return this.run(task, (turn) => this.waiting.unshift(turn));
  }

  private async run<T>(task: () => Promise<T>, wait: (turn: () => void) => void): Promise<T> {
    if (this.free > 0) this.free -= 1;
    else await new Promise<void>(wait);
    try {
      return await task();
    } finally {
      const next = this.waiting.shift();
      // Whoever is next has the connection already: nobody who comes now gets in between.
      if (next) next();
      else this.free += 1;
    }
  }
}
