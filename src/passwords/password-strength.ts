import type { OnApplicationShutdown } from '@nestjs/common';
import { Piscina } from 'piscina';
import { ApiError } from '../core/errors';
import { LaneFull, LaneQueue, type Place } from '../crypto/lane-queue';

/** What is wrong with a password: others have it or guess it, or it is made of its owner's own words. */
export type Weakness = 'common' | 'personal';

/** Who sets a password: somebody signed in (or an operator, for him), or somebody new. */
export type NewPasswordLane = 'account' | 'registration';

/** Where a password waits to be judged: lanes and subjects are those of the hashing queue. */
export type NewPasswordPlace = Place<NewPasswordLane>;

/**
 * Passwords that may wait to be judged in each lane; beyond that, 503 at once. One takes 30 ms, and a quarter of a second if it
 * is made for that.
 */
export const QUEUE_LIMITS: Record<NewPasswordLane, number> = { account: 16, registration: 16 };

const THREADS = 1;

/** Where the thread and its list lie. */
export interface StrengthFiles {
  /** `strength-worker.js` */
  worker: string;
  /** `common-passwords.bin` */
  commonPasswords: string;
}

/**
 * Judges new passwords in a thread of its own, which is started for the first and ended when there have been none for a
 * minute: most of the time nobody sets a password, and the dictionaries need not be in memory.
 */
export class PasswordStrength implements OnApplicationShutdown {
  private readonly pool: Piscina;
  private readonly queue = new LaneQueue<NewPasswordLane>(QUEUE_LIMITS, THREADS);

  constructor({ worker, commonPasswords }: StrengthFiles) {
    this.pool = new Piscina({
      filename: worker,
      workerData: { commonPasswordsFile: commonPasswords },
      minThreads: 0,
      maxThreads: THREADS,
      idleTimeout: 60_000,
      // Without them the heap grows to three times of what it needs before it is swept.
      resourceLimits: { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 128 },
    });
  }

  /**
   * @param words in lower case, the longest first
   * @throws ApiError `overloaded` when the lane is full, or gives the place to somebody who has less waiting
   */
  async weaknessOf(
    password: string,
    words: string[],
    place: NewPasswordPlace,
  ): Promise<Weakness | undefined> {
    try {
      const judge = () => this.pool.run({ password, words }) as Promise<Weakness | null>;
      return (await this.queue.run(place, judge)) ?? undefined;
    } catch (error) {
      throw error instanceof LaneFull ? new ApiError('overloaded') : error;
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.pool.close();
  }
}
