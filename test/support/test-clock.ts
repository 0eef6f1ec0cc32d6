import { Clock } from '../../src/core/clock';

/** A wall clock that stands still until it is set. What measures spans goes on by itself, and can be pushed. */
export class TestClock extends Clock {
  private wall = new Date('2026-03-14T09:26:53.589Z').getTime();
  private pushed = 0;
  private held: number | undefined;

  now(): Date {
    return new Date(this.wall);
  }

  monotonic(): number {
    return this.held ?? performance.now() + this.pushed;
  }

  /** Lets time pass, on the wall only. */
  advance(seconds: number): void {
    this.wall = Math.round(this.wall + seconds * 1000);
  }

  /** Has no span be measured while `work` goes on, so that calls that a test holds up do not run out of time. */
  async suspendedDuring<T>(work: () => Promise<T>): Promise<T> {
    const held = this.monotonic();
    this.held = held;
    try {
      return await work();
    } finally {
      this.held = undefined;
      this.pushed = held - performance.now();
    }
  }

  /** Makes everything measured so far that much older. */
  push(seconds: number): void {
    this.pushed += seconds * 1000;
  }
}
