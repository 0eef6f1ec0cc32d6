/** Runs one task at a time, in the order in which they came. */
export class SerialQueue {
  private busy = false;
  private readonly waiting: (() => void)[] = [];

  /** The task's own result or failure; a failure does not stop those behind it. */
  async push<T>(task: () => Promise<T>): Promise<T> {
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
