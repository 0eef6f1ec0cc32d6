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
  /** The password was right. */
  succeed(): Promise<void>;
  /** It was not evaluated after all. */
  withdraw(): Promise<void>;
}

/** Evaluates a password that was let in, and settles the attempt by what comes out. What fails was not evaluated. */
export async function settleBy(attempt: AdmittedAttempt, evaluate: () => Promise<boolean>): Promise<boolean> {
  let right: boolean;
  try {
    right = await evaluate();
  } catch (error) {
    await attempt.withdraw();
    throw error;
  }
  if (right) await attempt.succeed();
  return right;
}

const UNLIMITED: AdmittedAttempt = {
  succeed: () => Promise.resolve(),
  withdraw: () => Promise.resolve(),
};

/** Limits how often a password may be tried against one thing: a user name, a device, a session. */
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
    const admission = await this.ledger.change<Admission>(id, (attempts) => {
      const outcome = admit(limit, attempts, toNumericDate(this.clock.now()));
      return { attempts: outcome.kind === 'admitted' ? outcome.attempts : attempts, outcome };
    });
    if (admission.kind === 'refused') {
      await this.hits.note(name, id, caller);
      const { quota, retryAfter } = admission;
      throw rateLimited({ name, quota, seconds: limit.seconds, retryAfter });
    }
    const settle = (change: (before: Attempts, at: number) => Attempts) => () =>
      this.ledger.change<void>(id, (before) => ({
        attempts: change(before, admission.at),
        outcome: undefined,
      }));
    return {
      succeed: settle(succeed),
      withdraw: settle(withdraw),
    };
  }
}
