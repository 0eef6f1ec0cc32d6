import { LRUCache } from 'lru-cache';
import type { AddressRanges } from '../access/address-ranges';
import type { Clock } from '../core/clock';

/** Seconds for which what the database said of a key is believed, unless the feed says otherwise before. */
export const FOUND_KEY_LIFETIME_SECONDS = 60;

/** Keys remembered at most, good ones and others. */
const CAPACITY = 10_000;

/** A key as the database knows it, ready to be judged. */
export interface FoundKey {
  /** SHA-256 of the key presented. */
  hash: string;
  keyId: string;
  userId: string;
  /** Within the owner's. */
  scopes: readonly string[];
  /** Undefined: from anywhere. */
  allowedFrom: AddressRanges | undefined;
  expiresAt: Date | null;
  /** Whether neither the key nor its owner is disabled. */
  enabled: boolean;
}

/** What was looked up, or that there was nothing. */
export type Finding = FoundKey | 'unknown';

/**
 * What was found out about keys lately, by digest. Bounded in number and in age, and emptied of a key by every change of
 * it: see `forget`.
 */
export class FoundKeys {
  private readonly findings: LRUCache<string, Finding>;
  private readonly hashesOfKey = new Map<string, Set<string>>();
  private changes = 0;

  constructor(clock: Clock) {
    this.findings = new LRUCache({
      max: CAPACITY,
      ttl: FOUND_KEY_LIFETIME_SECONDS * 1000,
      perf: { now: () => clock.monotonic() },
      dispose: (finding) => this.unlink(finding),
    });
  }

  get(hash: string): Finding | undefined {
    return this.findings.get(hash);
  }

  /** Where things stand. A finding may only be kept if this has not moved since before it was looked up. */
  get version(): number {
    return this.changes;
  }

  /** Keeps a finding, unless some key was changed while it was looked up: it may be older than that change. */
  keep(hash: string, finding: Finding, sinceVersion: number): void {
    if (sinceVersion !== this.changes) return;
    this.findings.set(hash, finding);
    if (finding === 'unknown') return;
    const hashes = this.hashesOfKey.get(finding.keyId) ?? new Set();
    this.hashesOfKey.set(finding.keyId, hashes.add(hash));
  }

  /** Drops everything about a key. */
  forget(keyId: string): void {
    this.changes += 1;
    for (const hash of this.hashesOfKey.get(keyId) ?? []) this.findings.delete(hash);
  }

  private unlink(finding: Finding): void {
    if (finding === 'unknown') return;
    const hashes = this.hashesOfKey.get(finding.keyId);
    hashes?.delete(finding.hash);
    if (hashes?.size === 0) this.hashesOfKey.delete(finding.keyId);
  }
}
