import { LRUCache } from 'lru-cache';
import type { Clock } from '../core/clock';
import type { PresentedKey } from './key-facts';

/** Seconds for which what the database said of a key is believed, unless the feed says otherwise before. */
export const CACHED_KEY_LIFETIME_SECONDS = 60;

/** Keys remembered at most, and as many digests behind which there was none. Fewer keys where they have many ranges or scopes. */
export const CAPACITY = 10_000;

/** Ranges and scopes that take as much memory together as a key with next to none. */
const PARTS_PER_KEY = 8;

/** What was looked up, or that there was nothing. */
export type KeyLookup = PresentedKey | 'unknown';

/**
 * What was found out about keys lately, by digest. Bounded in number and in age, and emptied by every change of a key: see
 * `forget`. Misses have a cache of their own, so that made-up keys cannot evict good ones.
 */
export class KeyCache {
  private readonly known: LRUCache<string, PresentedKey>;
  private readonly unknown: LRUCache<string, true>;
  private readonly hashesOfKey = new Map<string, Set<string>>();
  private changes = 0;

  constructor(clock: Clock) {
    const bounds = {
      max: CAPACITY,
      ttl: CACHED_KEY_LIFETIME_SECONDS * 1000,
      perf: { now: () => clock.monotonic() },
    };
    this.known = new LRUCache({
      ...bounds,
      maxSize: CAPACITY,
      sizeCalculation: sizeOf,
      dispose: (key) => this.unlink(key),
    });
    this.unknown = new LRUCache(bounds);
  }

  get(hash: string): KeyLookup | undefined {
    return this.known.get(hash) ?? (this.unknown.get(hash) ? 'unknown' : undefined);
  }

  /** Where things stand. What was looked up may only be kept if this has not moved since before. */
  get version(): number {
    return this.changes;
  }

  /** Keeps what was looked up, unless some key was changed meanwhile: it may be older than that change. */
  keep(hash: string, lookup: KeyLookup, sinceVersion: number): void {
    if (sinceVersion !== this.changes) return;
    if (lookup === 'unknown') {
      this.unknown.set(hash, true);
      return;
    }
    this.known.set(hash, lookup);
    const hashes = this.hashesOfKey.get(lookup.keyId) ?? new Set();
    this.hashesOfKey.set(lookup.keyId, hashes.add(hash));
  }

  /** Drops everything about a key. What was not there may be there now, so all of that goes too. */
  forget(keyId: string): void {
    this.changes += 1;
    this.unknown.clear();
    for (const hash of this.hashesOfKey.get(keyId) ?? []) this.known.delete(hash);
  }

  /** Drops everything. */
  forgetAll(): void {
    this.changes += 1;
    this.unknown.clear();
    this.known.clear();
  }

  private unlink({ keyId, hash }: PresentedKey): void {
    const hashes = this.hashesOfKey.get(keyId);
    hashes?.delete(hash);
    if (hashes?.size === 0) this.hashesOfKey.delete(keyId);
  }
}

/** In keys with next to no ranges and scopes. Some two or three kilobytes each. */
function sizeOf({ allowedFrom, scopes, ownerScopes }: PresentedKey): number {
  const parts = (allowedFrom?.count ?? 0) + scopes.length + ownerScopes.length;
  return 1 + Math.floor(parts / PARTS_PER_KEY);
}
