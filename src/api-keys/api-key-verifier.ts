import { Injectable } from '@nestjs/common';
import type { ApiKeyCredential } from '../access/access.guard';
import { AddressRanges } from '../access/address-ranges';
import { parseScopes, withinOwner } from '../access/scopes';
import { Config } from '../config/config';
import { Clock } from '../core/clock';
import { ApiKeyFormat } from '../crypto/api-key-format';
import { sha256Hex } from '../crypto/sha256';
import { select, toInstant } from '../database/sql';
import { Transactions } from '../database/transactions';
import { RevocationFeed } from '../revocation/revocation-feed';
import { type Finding, type FoundKey, FoundKeys } from './found-keys';
import { KeyUsage } from './key-usage';

interface KeyRow {
  keyId: string;
  userId: string;
  scopes: string;
  allowedIps: string | null;
  expiresAt: Date | string | null;
  disabledAt: Date | string | null;
  ownerScopes: string;
  ownerDisabledAt: Date | string | null;
}

/** Tells whether a key presented is good, and for what. */
@Injectable()
export class ApiKeyVerifier {
  private readonly format: ApiKeyFormat;
  private readonly found: FoundKeys;

  constructor(
    private readonly transactions: Transactions,
    private readonly feed: RevocationFeed,
    private readonly usage: KeyUsage,
    private readonly clock: Clock,
    config: Config,
  ) {
    this.format = new ApiKeyFormat(config.apiKeyEnvironment);
    this.found = new FoundKeys(clock);
    feed.onKeyChange((keyId) => this.found.forget(keyId));
  }

  /**
   * The credential behind a key, or undefined for whatever does not work. A wrong checksum costs no I/O; a key seen
   * lately costs none either, as long as the feed would have told of a change.
   *
   * @throws ApiError `service_unavailable`
   */
  async verify(presented: string): Promise<ApiKeyCredential | undefined> {
    if (!this.format.isWellFormed(presented)) return undefined;
    const key = await this.find(sha256Hex(presented));
    if (key === 'unknown' || !key.enabled) return undefined;
    if (key.expiresAt !== null && key.expiresAt <= this.clock.now()) return undefined;
    const holder = { userId: key.userId, credential: 'api-key' as const, credentialId: key.keyId };
    return { holder, admit: (address) => this.admit(key, address) };
  }

  private admit(key: FoundKey, address: string) {
    if (key.allowedFrom && !key.allowedFrom.includes(address)) return undefined;
    this.usage.note(key.hash);
    const { userId, keyId: credentialId, scopes } = key;
    return { userId, credential: 'api-key' as const, credentialId, scopes };
  }

  private async find(hash: string): Promise<Finding> {
    const known = this.feed.isFresh ? this.found.get(hash) : undefined;
    if (known !== undefined) return known;
    const { version } = this.found;
    const finding = await this.lookUp(hash);
    this.found.keep(hash, finding, version);
    return finding;
  }

  private async lookUp(hash: string): Promise<Finding> {
    const [row] = await this.transactions.read((tx) =>
      select<KeyRow>(
        tx,
        `SELECT k.id AS keyId, k.user_id AS userId, k.scopes AS scopes, k.allowed_ips AS allowedIps,
           k.expires_at AS expiresAt, k.disabled_at AS disabledAt,
           u.scopes AS ownerScopes, u.disabled_at AS ownerDisabledAt
         FROM api_key_secrets s
         JOIN api_keys k ON k.id = s.key_id
         JOIN users u ON u.id = k.user_id
         WHERE s.hash = ?`,
        [hash],
      ),
    );
    if (!row) return 'unknown';
    return {
      hash,
      keyId: row.keyId,
      userId: row.userId,
      scopes: withinOwner(parseScopes(row.scopes), parseScopes(row.ownerScopes)),
      allowedFrom: row.allowedIps === null ? undefined : new AddressRanges(row.allowedIps.split(' ')),
      expiresAt: row.expiresAt === null ? null : toInstant(row.expiresAt),
      enabled: row.disabledAt === null && row.ownerDisabledAt === null,
    };
  }
}
