import type { OnApplicationShutdown } from '@nestjs/common';
import { Piscina } from 'piscina';
import { ApiError } from '../core/errors';

/** What is wrong with a password: others have it or guess it, or it is made of its owner's own words. */
export type Weakness = 'common' | 'personal';

/** Passwords that may wait to be judged: at 30 ms each the last one waits a second. Beyond that, 503 at once. */
export const QUEUE_LIMIT = 32;

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
  private queueLimit = QUEUE_LIMIT;

  constructor({ worker, commonPasswords }: StrengthFiles) {
    this.pool = new Piscina({
      filename: worker,
      workerData: { commonPasswordsFile: commonPasswords },
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: 60_000,
      // Without them the heap grows to three times of what it needs before it is swept.
      resourceLimits: { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 128 },
    });
  }

  /**
   * @param words in lower case, the longest first
   * @throws ApiError `overloaded` when too many passwords wait already
   */
  async weaknessOf(password: string, words: string[]): Promise<Weakness | undefined> {
    if (this.pool.queueSize >= this.queueLimit) throw new ApiError('overloaded');
    return ((await this.pool.run({ password, words })) as Weakness | null) ?? undefined;
  }

  async onApplicationShutdown(): Promise<void> {
    await this.pool.close();
  }
}
