/** The only source of time, so that a test can set it. */
export abstract class Clock {
  /** The instant it is now, UTC, in milliseconds. */
  abstract now(): Date;

  /** Milliseconds since an arbitrary moment; never goes back, so spans are measured with it. */
  abstract monotonic(): number;

  /** Whether it may be gone by. Where it may not, nothing is to be forgotten or removed because its time seems to be over. */
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

/** A clock that is kept with another one that several instances share: theirs may go wrong, together they must not. */
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
