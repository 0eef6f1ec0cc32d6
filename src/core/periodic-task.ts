import { setTimeout as delay } from 'node:timers/promises';

/** Milliseconds that a stop waits for a round: as long as anybody waits for the database. */
export const LONGEST_ENDING_MS = 3_000;

/** Settings of a `PeriodicTask`. */
export interface PeriodicTaskOptions {
  /** Milliseconds from the end of one round to the beginning of the next. */
  intervalMs: number;
  /** One round. Deals with its own failures: one that throws ends the process. */
  round: () => Promise<void>;
}

/**
 * Work of a service's own that comes round again and again. Rounds never overlap, and a stop waits for the one under way,
 * so that nothing is cut off in the middle but what hangs. Does not keep the process alive.
 */
export class PeriodicTask {
  private timer: NodeJS.Timeout | undefined;
  private current: Promise<void> | undefined;
  private stopped = false;
  private ending: Promise<unknown> | undefined;

  constructor(private readonly options: PeriodicTaskOptions) {}

  /** Begins: the first round comes after one interval. */
  start(): void {
    this.schedule();
  }

  /**
   * Begins no further round. To be called in `onModuleDestroy`, which Nest has for all providers before the first `onApplicationShutdown`:
   * so the rounds under way of all tasks end at the same time.
   */
  retire(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.ending ??= Promise.race([this.current, delay(LONGEST_ENDING_MS, undefined, { ref: false })]);
  }

  /** No further round; returns when the one under way has ended, or three seconds after it was told, if that hangs. */
  async stop(): Promise<void> {
    this.retire();
    await this.ending;
  }

  private schedule(): void {
    if (this.stopped) return;
    this.timer = setTimeout(() => {
      this.current = this.options.round().finally(() => this.schedule());
    }, this.options.intervalMs);
    this.timer.unref();
  }
}
