import { AsyncResource } from 'node:async_hooks';
import type { Clock } from '../core/clock';
import { Deadline } from '../core/deadline';
import { ApiError } from '../core/errors';
import type { Failpoints } from '../core/failpoints';
import { REQUEST_BUDGET_MS, withBudget } from '../core/request-budget';
import type { Transactions } from '../database/transactions';
import type { KeyCache, KeyLookup } from './key-cache';
import { type PresentedKey, readPresentedKeys } from './key-facts';

/** Digests that one statement asks for at most. */
export const MOST_AT_ONCE = 100;

/** Callers that wait for a lookup at most: fifty statements see to them all. */
export const MOST_WAITING = 5_000;

/** Those who wait for what the database knows of one digest. */
interface Turn {
  hash: string;
  /** Whose request is the first of theirs: in it the lookup can be traced. */
  scope: AsyncResource;
  callers: Set<{ resolve: (lookup: KeyLookup) => void; reject: (error: unknown) => void }>;
}

/**
 * Looks for the keys that somebody presents. Anybody can make up keys with a right checksum, as many as he likes, and each is
 * to be looked for; so one statement is under way at a time, whatever comes meanwhile, and the next one asks for all that
 * came. A flood has one connection to the database and leaves the others to everybody else.
 */
export class KeyLookups {
  private readonly waiting = new Map<string, Turn>();
  private callers = 0;
  private isServing = false;

  /** @param cache where what was found is kept */
  constructor(
    private readonly cache: KeyCache,
    private readonly transactions: Transactions,
    private readonly clock: Clock,
    private readonly failpoints: Failpoints,
  ) {}

  /**
   * What the database knows of a digest, read after the call came. Nobody waits longer than he has time, and nobody's time
   * running out ends the reading for others.
   *
   * @throws ApiError `service_unavailable`, at once where too many wait already
   */
  async find(hash: string): Promise<KeyLookup> {
    if (this.callers >= MOST_WAITING) {
      throw new ApiError('service_unavailable', { cause: new Error('Too many wait for keys to be found') });
    }
    this.callers += 1;
    try {
      return await Deadline.ofRequest(this.clock, REQUEST_BUDGET_MS, (deadline) =>
        this.waitFor(hash, deadline),
      );
    } finally {
      this.callers -= 1;
    }
  }

  /**
   * Never joins a statement that is under way: it may have read what was changed before this call came. Whoever has no time left
   * leaves, so that nobody is kept waiting for an answer that nobody takes.
   */
  private waitFor(hash: string, deadline: Deadline): Promise<KeyLookup> {
    return new Promise((resolve, reject) => {
      const turn = this.waiting.get(hash) ?? this.begin(hash);
      const caller = { resolve, reject };
      turn.callers.add(caller);
      deadline.onExpiry(() => {
        turn.callers.delete(caller);
        if (turn.callers.size === 0 && this.waiting.get(hash) === turn) this.waiting.delete(hash);
      });
      if (!this.isServing) void this.serve();
    });
  }

  private begin(hash: string): Turn {
    const turn: Turn = { hash, scope: new AsyncResource('latchkey:key-lookup'), callers: new Set() };
    this.waiting.set(hash, turn);
    return turn;
  }

  /** Serves all who have come meanwhile, until nobody has. */
  private async serve(): Promise<void> {
    this.isServing = true;
    for (let turns = this.take(); turns.length > 0; turns = this.take()) {
      const callers = turns.flatMap(({ hash, callers: own }) =>
        [...own].map((caller) => ({ ...caller, hash })),
      );
      try {
        const keys = await this.lookUp(turns);
        for (const { hash, resolve } of callers) resolve(keys.get(hash) ?? 'unknown');
      } catch (error) {
        for (const { reject } of callers) reject(error);
      }
    }
    this.isServing = false;
  }

  private take(): Turn[] {
    const turns = [...this.waiting.values()].slice(0, MOST_AT_ONCE);
    for (const { hash } of turns) this.waiting.delete(hash);
    return turns;
  }

  /** With time of its own: of those who wait for it, any one may have next to none left. */
  private lookUp(turns: readonly Turn[]): Promise<Map<string, PresentedKey>> {
    const hashes = turns.map(({ hash }) => hash);
    const { scope } = turns[0] as Turn;
    return scope.runInAsyncScope(() => withBudget(REQUEST_BUDGET_MS, () => this.read(hashes)));
  }

  private async read(hashes: readonly string[]): Promise<Map<string, PresentedKey>> {
    const { version } = this.cache;
    const keys = await this.transactions.read((tx) => readPresentedKeys(tx, hashes));
    await this.failpoints.reach('key_lookup:row_read');
    for (const hash of hashes) this.cache.keep(hash, keys.get(hash) ?? 'unknown', version);
    return keys;
  }
}
