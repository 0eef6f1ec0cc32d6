import { ApiError } from '../core/errors';

/** Runs one task at a time, in the order in which they came. */
export class SerialQueue {
  private busy = false;
  private readonly waiting: (() => void)[] = [];

  /** @param places how many may wait */
  constructor(private readonly places: number) {}

  /**
   * The task's own result or failure; a failure does not stop those behind it.
   *
   * @throws ApiError `service_unavailable` at once when too many wait already
   */
  async push<T>(task: () => Promise<T>): Promise<T> {
    if (this.waiting.length >= this.places) {
      throw new ApiError('service_unavailable', { cause: new Error('Too many wait for the database') });
    }
    if (this.busy) await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.busy = true;
    try {
      return await task();
    } finally {
      const next = this.waiting.shift();
      // Whoever is next has the turn already: nobody who comes now gets in between.
      if (next) next();
      else this.busy = false;
    }
  }
}
