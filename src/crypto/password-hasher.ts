import { availableParallelism } from 'node:os';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Piscina } from 'piscina';
import { ApiError } from '../core/errors';
import { Random } from '../core/random';

/** Argon2id parameters. */
export abstract class HashCost {
  /** Memory per hash, KiB. */
  readonly memoryKib: number;
  readonly passes: number;
  readonly lanes: number;
}

/** OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane. About 20 ms on one core. */
export const DEFAULT_HASH_COST: HashCost = { memoryKib: 19_456, passes: 2, lanes: 1 };

/** Hashes that may wait per thread: at 20 ms each the last one waits about 1.3 s. Beyond that, 503 at once. */
const QUEUE_PER_THREAD = 64;

/**
 * Hashes and verifies passwords (Argon2id, RFC 9106) in worker threads of its own, so that a request with a valid token
 * never waits behind a login. One core is left to the event loop.
 */
@Injectable()
export class PasswordHasher implements OnApplicationShutdown {
  private readonly pool: Piscina;
  private readonly queueLimit: number;
  private readonly decoy: string;

  /** @param workerFile what a thread runs: `argon2-worker.js` */
  constructor(
    private readonly cost: HashCost,
    workerFile: string,
    random: Random,
  ) {
    const threads = Math.max(1, availableParallelism() - 1);
    this.queueLimit = threads * QUEUE_PER_THREAD;
    this.pool = new Piscina({
      filename: workerFile,
      minThreads: 0,
      maxThreads: threads,
      idleTimeout: 60_000,
    });
    this.decoy = toPhc(cost, random.bytes(16), random.bytes(32));
  }

  /**
   * The password's hash as a PHC string.
   *
   * @throws ApiError `overloaded` when too many hashes wait already
   */
  async hash(password: string): Promise<string> {
    return (await this.run({ kind: 'hash', password, cost: this.cost })) as string;
  }

  /**
   * Whether this is the password behind `hash`. Without a hash (no such user) the same work is done through the same
   * queue and the answer is no, so that time does not tell who has an account.
   *
   * @throws ApiError `overloaded` when too many hashes wait already
   */
  async verify(hash: string | undefined, password: string): Promise<boolean> {
    // UTF-8 has no form for a lone surrogate: it would be hashed as U+FFFD, and so match another password.
    const comparable = hash !== undefined && password.isWellFormed();
    const matches = await this.run({ kind: 'verify', password, hash: comparable ? hash : this.decoy });
    return comparable && matches === true;
  }

  /** Whether the hash was made with other parameters than today's and ought to be renewed at the next sign-in. */
  isOutdated(hash: string): boolean {
    const { memoryKib, passes, lanes } = this.cost;
    return !hash.startsWith(`$argon2id$v=19$m=${memoryKib},t=${passes},p=${lanes}$`);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.pool.close();
  }

  private async run(task: HashTask): Promise<string | boolean> {
    if (this.pool.queueSize >= this.queueLimit) throw new ApiError('overloaded');
    return (await this.pool.run(task)) as string | boolean;
  }
}

type HashTask =
  { kind: 'hash'; password: string; cost: HashCost } | { kind: 'verify'; password: string; hash: string };

function toPhc(cost: HashCost, salt: Buffer, hash: Buffer): string {
  const encode = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '');
  return `$argon2id$v=19$m=${cost.memoryKib},t=${cost.passes},p=${cost.lanes}$${encode(salt)}$${encode(hash)}`;
}
