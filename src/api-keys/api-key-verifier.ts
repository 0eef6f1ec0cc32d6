import { Injectable } from '@nestjs/common';
import type { ApiKeyCredential } from '../access/access.guard';
import type { Principal } from '../access/principal';
import { Config } from '../config/config';
import { Clock } from '../core/clock';
import { Failpoints } from '../core/failpoints';
import { addSeconds } from '../core/instant';
import { ApiKeyFormat } from '../crypto/api-key-format';
import { sha256Hex } from '../crypto/sha256';
import { Transactions } from '../database/transactions';
import { RevocationFeed } from '../revocation/revocation-feed';
import { KeyCache, type KeyLookup } from './key-cache';
import type { PresentedKey } from './key-facts';
import { KeyLookups } from './key-lookups';
import { KeyUsage, SecretUsage } from './key-usage';
import { admits } from './key-verdict';

/**
 * How long before a key ends its answers begin to say so: thirty days, with which Let's Encrypt has certificates renewed. Enough
 * for a client that calls once a month (ASVS 6.4.5).
 */
const NOTICE_SECONDS = 30 * 24 * 3600;

/** Tells whether a key presented is good, and for what. */
@Injectable()
export class ApiKeyVerifier {
  private readonly format: ApiKeyFormat;
  private readonly cache: KeyCache;
  private readonly lookups: KeyLookups;

  constructor(
    private readonly feed: RevocationFeed,
    private readonly keyUsage: KeyUsage,
    private readonly secretUsage: SecretUsage,
    private readonly clock: Clock,
    transactions: Transactions,
    failpoints: Failpoints,
    config: Config,
  ) {
    this.format = new ApiKeyFormat(config.apiKeyEnvironment);
    this.cache = new KeyCache(clock);
    this.lookups = new KeyLookups(this.cache, transactions, clock, failpoints);
    feed.onKeyChange((keyId) => this.cache.forget(keyId));
    feed.onGap(() => this.cache.forgetAll());
  }

  /**
   * The credential behind a key, or undefined where there is none that works, wherever from. A wrong checksum costs no I/O;
   * a key seen lately costs none either, as long as the feed would have told of a change.
   *
   * @throws ApiError `service_unavailable`
   */
  async verify(presented: string): Promise<ApiKeyCredential | undefined> {
    return this.credentialOf(await this.find(presented));
  }

  /** The credential behind a key that was seen lately and works, as long as the feed would have told of a change. */
  recall(presented: string): ApiKeyCredential | undefined {
    if (!this.format.isWellFormed(presented)) return undefined;
    return this.credentialOf(this.known(sha256Hex(presented)));
  }

  private credentialOf(key: KeyLookup | undefined): ApiKeyCredential | undefined {
    if (key === undefined || key === 'unknown' || !this.isGood(key, undefined)) return undefined;
    const holder = { userId: key.userId, credential: 'api-key' as const, credentialId: key.keyId };
    return {
      holder,
      admit: (address) => this.admit(key, address),
      replacedSince: key.retirement?.since,
      endsSoon: key.retirement?.until ?? this.nearEndOf(key),
    };
  }

  private nearEndOf({ expiresAt }: PresentedKey): Date | undefined {
    if (expiresAt === null) return undefined;
    return expiresAt <= addSeconds(this.clock.now(), NOTICE_SECONDS) ? expiresAt : undefined;
  }

  /**
   * What is known of a key that works, for a service that was shown it. Not yet a use: see `noteUse`.
   *
   * @param address whence the service was called; left out, it is not judged
   * @throws ApiError `service_unavailable`
   */
  async inspect(presented: string, address: string | undefined): Promise<PresentedKey | undefined> {
    const key = await this.find(presented);
    return key && this.isGood(key, address) ? key : undefined;
  }

  /** Notes that a key was used just now. */
  noteUse({ keyId, hash }: PresentedKey): void {
    this.keyUsage.note(keyId);
    this.secretUsage.note(hash);
  }

  private admit(key: PresentedKey, address: string): Principal | undefined {
    if (!this.isGood(key, address)) return undefined;
    this.noteUse(key);
    const { userId, username, keyId: credentialId, effectiveScopes: scopes } = key;
    return { userId, username, credential: 'api-key', credentialId, scopes };
  }

  private isGood(key: PresentedKey, address: string | undefined): boolean {
    const now = this.clock.now();
    if (key.retirement && key.retirement.until <= now) return false;
    return admits(key, { now, address });
  }

  private async find(presented: string): Promise<PresentedKey | undefined> {
    if (!this.format.isWellFormed(presented)) return undefined;
    const hash = sha256Hex(presented);
    const lookup = this.known(hash) ?? (await this.lookups.find(hash));
    return lookup === 'unknown' ? undefined : lookup;
  }

  private known(hash: string): KeyLookup | undefined {
    return this.feed.isFresh ? this.cache.get(hash) : undefined;
  }
}
