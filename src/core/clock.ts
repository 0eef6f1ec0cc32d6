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

/** What a clock said, and when that was by its monotonic one. */
interface Reading {
  time: number;
  monotonic: number;
}

/**
 * Change of a machine's clock against its monotonic one, in milliseconds, that counts as a step: it was set, or went on while the machine
 * slept. None drifts that much from one comparison with the database's to the next.
 */
export const STEP_MS = 1_000;

/**
 * The machine's clock, corrected to the database's, which all instances share. While the two are too far apart, or when it has stepped
 * since they were compared, it runs on from its last trusted time; before it was ever trusted it is the machine's own.
 */
export class KeptClock extends Clock {
  private correctionMs = 0;
  private trusted = false;
  private lastTrusted: Reading | undefined;

  constructor(private readonly own: Clock) {
    super();
  }

  now(): Date {
    const corrected = this.ownTime() + this.correctionMs;
    if (!this.lastTrusted) return new Date(corrected);
    const { time, monotonic } = this.lastTrusted;
    const runningOn = time + this.monotonic() - monotonic;
    const hasStepped = Math.abs(corrected - runningOn) >= STEP_MS;
    return new Date(this.trusted && !hasStepped ? corrected : runningOn);
  }

  monotonic(): number {
    return this.own.monotonic();
  }

  /** The machine's own time, uncorrected, milliseconds since 1970. */
  ownTime(): number {
    return this.own.now().getTime();
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
    this.lastTrusted = { time: this.ownTime() + milliseconds, monotonic: this.monotonic() };
  }

  distrust(): void {
    this.trusted = false;
  }
}
