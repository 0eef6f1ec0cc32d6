/** The only source of time, so that a test can set it. */
export abstract class Clock {
  /** The instant it is now, UTC, in milliseconds. */
  abstract now(): Date;

  /** Milliseconds since an arbitrary moment; never goes back, so spans are measured with it. */
  abstract monotonic(): number;

  /** Whether this clock can be relied on. While it cannot, nothing may expire or be deleted because of its age. */
  get isTrusted(): boolean {
    return true;
  }
}

/** The machine's. */
export class SystemClock extends Clock {
  now(): Date {
    return new Date();
  }

  monotonic(): number {
    return performance.now();
  }
}

/** The machine's clock plus a correction that keeps it in step with the database's, which all instances share. */
export class KeptClock extends Clock {
  private correctionMs = 0;
  private trusted = false;

  constructor(private readonly own: Clock) {
    super();
  }

  now(): Date {
    return new Date(this.own.now().getTime() + this.correctionMs);
  }

  monotonic(): number {
    return this.own.monotonic();
  }

  /** Not before it has been compared, nor while the two are further apart than is corrected. */
  override get isTrusted(): boolean {
    return this.trusted;
  }

  /** What is added to the clock's own time, in milliseconds. */
  get correction(): number {
    return this.correctionMs;
  }

  correctBy(milliseconds: number): void {
    this.correctionMs = milliseconds;
    this.trusted = true;
  }

  distrust(): void {
    this.trusted = false;
  }
}
