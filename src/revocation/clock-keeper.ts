import { Inject, Injectable } from '@nestjs/common';
import { Clock, KeptClock, STEP_MS } from '../core/clock';
import { LOG, type Log } from '../core/log';
import { Metrics } from '../core/metrics';

/** Milliseconds by which a clock is corrected at most. What is further off is broken, or it is the database's that is. */
export const MOST_CORRECTED_MS = 600_000;

/**
 * Milliseconds, beyond half the round trip, by which the offset measured must differ from the correction before that is
 * changed. Less is noise, and following noise makes a clock worse.
 */
const NOISE_MS = 100;

/**
 * Longest round trip, in milliseconds, after which the measured offset is applied in full. A slower answer moves the clock only to the
 * nearest time that fits it, and so never away from the truth.
 */
const LONGEST_ROUND_TRIP_MS = 1_000;

/** What is worth a line in the log, in milliseconds: a machine whose clock is that far off should be looked at. */
const NOTEWORTHY_MS = 1_000;

const ASTRAY =
  "This machine's clock and the database's are too far apart to be corrected; until one of them is set, the service is not ready";
const OFF = "This machine's clock is off; the service goes by the database's";
const RIGHT = "This machine's clock and the database's agree again";

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
  private offset = 0;
  /** By how much the machine's clock was ahead of its monotonic one at the last sample, milliseconds. */
  private lead: number | undefined;
  /** What stands in the log. */
  private told = { offset: 0, astray: false };

  constructor(
    clock: Clock,
    @Inject(LOG) private readonly log: Log,
    metrics: Metrics,
  ) {
    this.kept = clock instanceof KeptClock ? clock : undefined;
    metrics.gauge('latchkey_clock_offset_seconds', {}, () => this.offset / 1000);
  }

  /** Whether the clock was further off than can be corrected when it was last compared. */
  get isAstray(): boolean {
    return this.astray;
  }

  /**
   * Compares the clocks, and corrects this instance's where the sample is sure that it is off.
   *
   * @returns whether what was judged by the clock until now has to be judged anew
   */
  note({ said, asked, answered }: ClockSample): boolean {
    const { kept } = this;
    if (!kept) return false;
    const roundTrip = answered - asked;
    const sinceSaid = kept.monotonic() - (asked + answered) / 2;
    // By how much the clock's own time is behind the database's.
    this.offset = said.getTime() + sinceSaid - kept.ownTime();
    // Written so that a time that is none counts as too far away.
    this.astray = !(Math.abs(this.offset) <= MOST_CORRECTED_MS + roundTrip / 2);
    this.tell();
    const hasStepped = this.noteStep(kept.ownTime() - kept.monotonic());
    const wasTrusted = kept.isTrusted;
    if (this.astray) {
      kept.distrust();
      return wasTrusted;
    }
    const difference = this.offset - kept.correction;
    const isSure = Math.abs(difference) > roundTrip / 2 + NOISE_MS;
    const unproven = roundTrip <= LONGEST_ROUND_TRIP_MS ? 0 : (Math.sign(difference) * roundTrip) / 2;
    kept.correctBy(isSure ? Math.round(this.offset - unproven) : kept.correction);
    return isSure || !wasTrusted || hasStepped;
  }

  /** Where the database is on the same machine both clocks step together, and their offset tells nothing. */
  private noteStep(lead: number): boolean {
    const before = this.lead ?? lead;
    this.lead = lead;
    return Math.abs(lead - before) >= STEP_MS;
  }

  /** Once for every second by which it moves, so that a clock that drifts fills no log, and whenever it goes astray or comes back. */
  private tell(): void {
    const { offset, astray, told } = this;
    const hasMoved = Math.abs(offset - told.offset) >= NOTEWORTHY_MS;
    if (!hasMoved && astray === told.astray) return;
    this.told = { offset, astray };
    const fields = { seconds: Math.round(offset) / 1000 };
    if (astray) this.log.error(fields, ASTRAY);
    else if (Math.abs(offset) < NOTEWORTHY_MS) this.log.info(fields, RIGHT);
    else this.log.warn(fields, OFF);
  }
}
