import { Injectable } from '@nestjs/common';
import { Config } from '../config/config';
import { Clock } from '../core/clock';
import { toNumericDate } from '../core/instant';
import { KeyedDigest } from '../crypto/keyed-digest';
import { KeyRing } from '../crypto/key-ring';
import { AttemptLedger } from './attempt-ledger';
import { admit, type Admission, type Attempts, succeed, withdraw } from './attempt-rule';
import { type Caller, LimitHits } from './limit-hits';
import { type AttemptLimitName, LIMITS } from './limits';
import { rateLimited } from './rate-limited.error';

/** A password that may be evaluated, counted as wrong until it has turned out to be right. */
export interface AdmittedAttempt {
  /**
   * The password was right.
   *
   * @returns how many in a row had failed before it. One that was under way when it came and still is counts as failed.
   */
  succeed(): Promise<number>;
  /** It was not evaluated after all. */
  withdraw(): Promise<void>;
}

/** What came out of an attempt. */
export interface SettledAttempt {
  right: boolean;
  /** Of a right one, how many in a row had failed before. */
  failuresBefore: number;
}

/** Evaluates a password that was let in, and settles the attempt by what comes out. What fails was not evaluated. */
export async function settleBy(
  attempt: AdmittedAttempt,
  evaluate: () => Promise<boolean>,
): Promise<SettledAttempt> {
  let right: boolean;
  try {
    right = await evaluate();
  } catch (error) {
    await attempt.withdraw();
    throw error;
  }
  return { right, failuresBefore: right ? await attempt.succeed() : 0 };
}

const UNLIMITED: AdmittedAttempt = {
  succeed: () => Promise.resolve(0),
  withdraw: () => Promise.resolve(),
};

/** Limits how often a password may be tried against one thing: an account, a name that nobody has, a device, a session. */
@Injectable()
export class PasswordAttempts {
  private readonly digests: KeyedDigest;

  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly ledger: AttemptLedger,
    private readonly hits: LimitHits,
    keys: KeyRing,
  ) {
    this.digests = new KeyedDigest(keys.limitSubject);
  }

  /**
   * Lets an attempt in, or not. Whoever is let in must be settled; one that never is counts as a failure.
   *
   * @param subject what the password is tried against
   * @throws ApiError `rate_limited`, `service_unavailable`
   */
  async admit(name: AttemptLimitName, subject: string, caller: Caller): Promise<AdmittedAttempt> {
    if (!this.config.rateLimits) return UNLIMITED;
    const limit = LIMITS[name];
    const id = this.digests.of([name, subject]);
    const enter = (attempts: Attempts) => {
      const outcome = admit(limit, attempts, toNumericDate(this.clock.now()));
      return { attempts: outcome.kind === 'admitted' ? outcome.attempts : attempts, outcome };
    };
    // Whoever is answered before he is let in is not to count as a failure.
    const leave = (late: Admission) =>
      late.kind === 'admitted' ? (before: Attempts) => withdraw(before, late.at) : undefined;
    const admission = await this.ledger.change<Admission>(id, enter, leave);
    if (admission.kind === 'refused') {
      await this.hits.note(name, id, caller);
      const { quota, retryAfter } = admission;
      throw rateLimited({ name, quota, seconds: limit.seconds, retryAfter });
    }
    // Also where nobody has the time to wait for it: it would count as a failure otherwise.
    const settle = (change: (before: Attempts, at: number) => Attempts) => () =>
      this.ledger.change<number>(
        id,
        (before) => ({
          attempts: change(before, admission.at),
          outcome: failuresBefore(admission.attempts, before),
        }),
        'made all the same',
      );
    return {
      succeed: settle(succeed),
      withdraw: async () => void (await settle(withdraw)()),
    };
  }
}

/**
 * Failures in a row before this attempt, which both counts include. The smaller one counts: attempts that were under way when it came may
 * have succeeded since, and others may have come while it was evaluated.
 */
function failuresBefore(admitted: Attempts, settled: Attempts): number {
  return Math.max(0, Math.min(admitted.inARow, settled.inARow) - 1);
}
