/** The only source of time, so that a test can set it. */
export abstract class Clock {
  /** The instant it is now, UTC, in milliseconds. */
  abstract now(): Date;

  /** Milliseconds since an arbitrary moment; never goes back, so spans are measured with it. */
  abstract monotonic(): number;
}

export class SystemClock extends Clock {
  now(): Date {
    return new Date();
  }

  monotonic(): number {
    return performance.now();
  }
}
