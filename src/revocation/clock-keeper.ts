import { Inject, Injectable } from '@nestjs/common';
import { Clock, KeptClock } from '../core/clock';
import { LOG, type Log } from '../core/log';
import { Metrics } from '../core/metrics';

/** Milliseconds by which a clock is corrected at most. What is further off is broken, or it is the database's that is. */
export const MOST_CORRECTED_MS = 600_000;

/**
 * Milliseconds by which a sample must differ from what is assumed, beside what it cannot tell: less is the noise of two
 * clocks that are well kept, and a clock that is set for nothing is a worse one.
 */
const NOISE_MS = 100;

/** The longest question, in milliseconds, whose answer says anything: when it was given is known to half of that. */
const LONGEST_ROUND_TRIP_MS = 1_000;

/** Corrections that are worth a line in the log, in milliseconds: a machine whose clock is that far off should be looked at. */
const NOTEWORTHY_MS = 1_000;

/** When the database said what time it was. */
export interface ClockSample {
  /** The database's time. */
  said: Date;
  /** When it was asked and had answered, monotonic milliseconds. */
  asked: number;
  answered: number;
}

/**
 * Keeps this instance's clock with the database's, which all instances share, so that lifetimes mean the same whoever
 * judges them: else one whose clock is slow would take tokens that have expired, and one whose clock is fast would see a thief in a
 * client that repeats a refresh within its grace. A clock that a test has set is left alone.
 */
@Injectable()
export class ClockKeeper {
  private readonly kept: KeptClock | undefined;
  private astray = false;

  constructor(
    clock: Clock,
    @Inject(LOG) private readonly log: Log,
    metrics: Metrics,
  ) {
    this.kept = clock instanceof KeptClock ? clock : undefined;
    metrics.gauge('latchkey_clock_correction_seconds', {}, () => (this.kept?.correction ?? 0) / 1000);
  }

  /** Whether the clock was further off than can be corrected when it was last compared. */
  get isAstray(): boolean {
    return this.astray;
  }

  /** Compares the clocks, and corrects this instance's where the sample is sure that it is off. */
  note({ said, asked, answered }: ClockSample): void {
    const roundTrip = answered - asked;
    if (!this.kept || roundTrip > LONGEST_ROUND_TRIP_MS) return;
    const { correction } = this.kept;
    const sinceSaid = this.kept.monotonic() - (asked + answered) / 2;
    // By how much the clock's own time is behind the database's.
    const offset = said.getTime() + sinceSaid - (this.kept.now().getTime() - correction);
    const wasAstray = this.astray;
    this.astray = Math.abs(offset) > MOST_CORRECTED_MS;
    if (this.astray) {
      if (!wasAstray) this.log.error({ seconds: inSeconds(offset) }, ASTRAY);
      return;
    }
    if (Math.abs(offset - correction) <= roundTrip / 2 + NOISE_MS) return;
    this.kept.correctBy(Math.round(offset));
    if (Math.abs(offset - correction) >= NOTEWORTHY_MS) {
      this.log.warn({ seconds: inSeconds(offset) }, CORRECTED);
    }
  }
}

const ASTRAY =
  "This machine's clock and the database's are too far apart to be corrected; until one of them is set, the service is not ready";
const CORRECTED = "This machine's clock is off; the service goes by the database's";

const inSeconds = (milliseconds: number) => Math.round(milliseconds) / 1000;
