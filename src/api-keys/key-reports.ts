import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { AuditTrail } from '../audit/audit-trail';
import { Config } from '../config/config';
import { Clock } from '../core/clock';
import { Failpoints } from '../core/failpoints';
import { LOG, type Log } from '../core/log';
import type { Origin } from '../core/origin';
import { ApiKeyFormat } from '../crypto/api-key-format';
import { sha256Hex } from '../crypto/sha256';
import { Transactions } from '../database/transactions';
import { ApiKey, ApiKeySecret } from './api-key.entity';
import { KeyChanges, lockKey } from './key-changes';
import { lastUse } from './key-overview';

/** What a report put an end to. */
type Casualty = 'key' | 'old secret';

/** Takes keys out of service that somebody has found where they should not be. */
@Injectable()
export class KeyReports {
  private readonly format: ApiKeyFormat;

  constructor(
    private readonly transactions: Transactions,
    private readonly changes: KeyChanges,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
    private readonly failpoints: Failpoints,
    @Inject(LOG) private readonly log: Log,
    config: Config,
  ) {
    this.format = new ApiKeyFormat(config.apiKeyEnvironment);
  }

  /**
   * Disables the key whose current secret this is, until it is rotated; ends the secret alone where it is an old one. Tells
   * the caller nothing. Whoever has a key could do worse with it than report it, so anybody may.
   *
   * @throws ApiError `service_unavailable`
   */
  async report(found: string, origin: Origin): Promise<void> {
    // What was copied out of a file brings its blanks and its line end along, and nobody would be told that it is not the key.
    const presented = found.trim();
    if (!this.format.isWellFormed(presented)) return;
    const hash = sha256Hex(presented);
    const known = await this.transactions.read((tx) => tx.findOneBy(ApiKeySecret, { hash }));
    if (!known) return;
    await this.failpoints.reach('key_report:secret_found');
    const { keyId } = known;
    // Reports of one key wait for its row, and whose it is only the transaction finds out.
    const ended = await this.transactions.runFor(keyId, (tx) => this.end(tx, known, origin));
    if (ended) this.log.warn({ keyId, requestId: origin.requestId }, `A reported ${ended} was ended`);
  }

  private async end(
    tx: EntityManager,
    { hash, keyId }: ApiKeySecret,
    origin: Origin,
  ): Promise<Casualty | undefined> {
    const key = await lockKey(tx, keyId);
    // Read again under the lock: a rotation may have made it an old secret, or ended it.
    const secret = await tx.findOneBy(ApiKeySecret, { hash });
    if (!key || !secret) return undefined;
    const { userId } = key;
    if (secret.replacedAt !== null) {
      await tx.delete(ApiKeySecret, { hash });
      await tx.update(ApiKey, { id: keyId }, { lastUsedAt: lastUse(key, [secret]) });
      await this.audit.record(tx, { type: 'api_key_old_secret_reported', userId, keyId }, origin);
    } else {
      if (key.reportedAt !== null) return undefined;
      await tx.update(ApiKey, { id: keyId }, { reportedAt: this.clock.now() });
      await this.audit.record(tx, { type: 'api_key_reported', userId, keyId }, origin);
    }
    await this.changes.announce(tx, [keyId]);
    return secret.replacedAt === null ? 'key' : 'old secret';
  }
}
