import { availableParallelism } from 'node:os';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Piscina } from 'piscina';
import type { Clock } from '../core/clock';
import { ApiError } from '../core/errors';
import type { Metrics } from '../core/metrics';
import { Random } from '../core/random';
import type { Tracing } from '../core/tracing';
import { LaneFull, LaneQueue, type Place } from './lane-queue';
import { type HashRefusal, isBehindOthers, readStoredHash, type StoredHash } from './stored-hash';

/** Argon2id parameters. */
export abstract class HashCost {
  /** Memory per hash, KiB. */
  readonly memoryKib: number;
  readonly passes: number;
  readonly lanes: number;
}

/** OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane. About 20 ms on one core. */
export const DEFAULT_HASH_COST: HashCost = { memoryKib: 19_456, passes: 2, lanes: 1 };

/**
 * For whom a hash is computed. Each has a lane of the queue to himself, so that strangers who try passwords by the
 * thousand fill their own lane and no other.
 *
 * - `known`: a login that proves to come from a device which has signed in to this account before
 * - `unknown`: any other login
 * - `account`: a signed-in user who changes the password or deletes the account
 * - `registration`: a sign-up, or an operator who makes a user
 */
export type HashLane = 'known' | 'unknown' | 'account' | 'registration';

/**
 * Where a hash waits. The network is what the request came from, the subject the account where it is known who asks: networks
 * take turns in the lane and accounts in a network, and none fills it for the others.
 */
export type HashPlace = Place<HashLane>;

/**
 * Hashes that may wait in each lane, per thread; beyond that, 503 at once. At 20 ms each the last one of the strangers
 * waits 1.3 s when nobody else does, and 2.6 s when every lane is full.
 */
export const WAITING_PER_THREAD: Record<HashLane, number> = {
  known: 32,
  unknown: 64,
  account: 16,
  registration: 16,
};

/**
 * Milliseconds after which nobody waits any more: what has not had its turn by then is refused when its turn comes. Imported
 * hashes may take fifty times as long as ours, and whoever asks has gone or comes again.
 */
export const LONGEST_WAIT_MS = 3_000;

/** What the hasher measures with and reports to. */
export interface HashObservers {
  clock: Clock;
  metrics: Metrics;
  tracing: Tracing;
}

/**
 * Hashes and verifies passwords in worker threads of its own, so that a request with a valid token never waits behind a
 * login. One core is left to the event loop. What it writes is Argon2id (RFC 9106); what it reads may be older.
 */
@Injectable()
export class PasswordHasher implements OnApplicationShutdown {
  private readonly pool: Piscina;
  private readonly queue: LaneQueue<HashLane>;
  /** A hash of today's that nobody has the password of. */
  private readonly decoy: string;

  /** @param workerFile what a thread runs: `hash-worker.js` */
  constructor(
    private readonly cost: HashCost,
    workerFile: string,
    random: Random,
    private readonly observers: HashObservers,
  ) {
    const threads = Math.max(1, availableParallelism() - 1);
    this.queue = new LaneQueue(limitsFor(threads), threads);
    this.pool = new Piscina({
      filename: workerFile,
      minThreads: 0,
      maxThreads: threads,
      idleTimeout: 60_000,
    });
    for (const lane of Object.keys(WAITING_PER_THREAD) as HashLane[]) {
      observers.metrics.gauge('latchkey_hash_queue_waiting', { lane }, () => this.queue.length(lane));
      observers.metrics.count('latchkey_hash_queue_refusals_total', { lane }, 0);
    }
    this.decoy = toPhc(cost, random.bytes(16), random.bytes(32));
  }

  /**
   * The password's hash as a PHC string.
   *
   * @throws ApiError `overloaded` when the lane is full, or gives the place to somebody who has less waiting, or when the turn
   * comes too late
   */
  async hash(password: string, place: HashPlace): Promise<string> {
    return (await this.run(place, { kind: 'hash', password, cost: this.cost })) as string;
  }

  /**
   * Whether this is the password behind `hash`. Without a hash (no such user), and with one that must not be computed,
   * the work of one of today's is done through the same queue and the answer is no, so that time does not tell who has an
   * account.
   *
   * @throws ApiError `overloaded` as `hash` does
   */
  async verify(hash: string | undefined, password: string, place: HashPlace): Promise<boolean> {
    const stored = readStoredHash(hash ?? this.decoy);
    // UTF-8 has no form for a lone surrogate: it would be hashed as U+FFFD, and so match another password.
    const comparable = typeof stored === 'object' && password.isWellFormed();
    const matches = await this.run(place, {
      kind: 'verify',
      password,
      hash: comparable ? stored : (readStoredHash(this.decoy) as StoredHash),
    });
    return hash !== undefined && comparable && matches === true;
  }

  /**
   * Asks for a hash that is to be computed soon. Before anything else is done for it, so that whoever meets a full lane costs
   * nothing; meanwhile others may come, so that there is no promise in it.
   *
   * @throws ApiError `overloaded` when it would be refused now
   */
  requireRoom(place: HashPlace): void {
    if (!this.queue.hasRoom(place)) throw this.refusal(place);
  }

  /** Why a hash must not be computed, if so: its form is unknown, or it asks for more than is granted to any. */
  refusalOf(hash: string | undefined): HashRefusal | undefined {
    const stored = readStoredHash(hash ?? this.decoy);
    return typeof stored === 'string' ? stored : undefined;
  }

  /**
   * Whether the hash was made with other parameters than today's and ought to be replaced by one of `password`, which has just
   * turned out to be the one behind it. Not where another one may be the owner's.
   */
  isToBeRenewed(hash: string, password: string): boolean {
    const { memoryKib, passes, lanes } = this.cost;
    if (hash.startsWith(`$argon2id$v=19$m=${memoryKib},t=${passes},p=${lanes}$`)) return false;
    const stored = readStoredHash(hash);
    return typeof stored === 'object' && !isBehindOthers(stored, password);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.pool.close();
  }

  private run(place: HashPlace, task: HashTask): Promise<string | boolean> {
    const { tracing } = this.observers;
    return tracing.span(`password ${task.kind}`, { 'latchkey.hash.lane': place.lane }, () =>
      this.queued(place, task),
    );
  }

  private async queued(place: HashPlace, task: HashTask): Promise<string | boolean> {
    const { lane } = place;
    const { clock, metrics } = this.observers;
    const come = clock.monotonic();
    try {
      return await this.queue.run(place, async () => {
        const waited = clock.monotonic() - come;
        metrics.observe('latchkey_hash_queue_wait_seconds', { lane }, waited / 1000);
        if (waited > LONGEST_WAIT_MS) throw this.refusal(place);
        return (await this.pool.run(task)) as string | boolean;
      });
    } catch (error) {
      if (!(error instanceof LaneFull)) throw error;
      throw this.refusal(place);
    }
  }

  private refusal({ lane }: HashPlace): ApiError {
    this.observers.metrics.count('latchkey_hash_queue_refusals_total', { lane });
    return new ApiError('overloaded');
  }
}

type HashTask =
  { kind: 'hash'; password: string; cost: HashCost } | { kind: 'verify'; password: string; hash: StoredHash };

function limitsFor(threads: number): Record<HashLane, number> {
  const { known, unknown, account, registration } = WAITING_PER_THREAD;
  return {
    known: known * threads,
    unknown: unknown * threads,
    account: account * threads,
    registration: registration * threads,
  };
}

function toPhc(cost: HashCost, salt: Buffer, hash: Buffer): string {
  const encode = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '');
  return `$argon2id$v=19$m=${cost.memoryKib},t=${cost.passes},p=${cost.lanes}$${encode(salt)}$${encode(hash)}`;
}
