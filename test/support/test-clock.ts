import { Clock } from '../../src/core/clock';

/** A wall clock that stands still until it is set. What measures spans goes on by itself, and can be pushed. */
export class TestClock extends Clock {
  private wall = new Date('2026-03-14T09:26:53.589Z').getTime();
  private pushed = 0;

  now(): Date {
    return new Date(this.wall);
  }

  monotonic(): number {
    return performance.now() + this.pushed;
  }

  /** Lets time pass, on the wall only. */
  advance(seconds: number): void {
    this.wall = Math.round(this.wall + seconds * 1000);
  }

  /** Makes everything measured so far that much older. */
  push(seconds: number): void {
    this.pushed += seconds * 1000;
  }
}
