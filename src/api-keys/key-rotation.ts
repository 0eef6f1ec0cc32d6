import { Injectable } from '@nestjs/common';
import { In } from 'typeorm';
import type { EntityManager } from 'typeorm';
import { lockForCaller } from '../access/account-lock';
import type { Principal } from '../access/principal';
import { AuditTrail } from '../audit/audit-trail';
import { Config } from '../config/config';
import { Clock } from '../core/clock';
import { ApiError } from '../core/errors';
import { addSeconds } from '../core/instant';
import type { Origin } from '../core/origin';
import { Random } from '../core/random';
import { ApiKeyFormat } from '../crypto/api-key-format';
import { Transactions } from '../database/transactions';
import { ApiKey, ApiKeySecret, newSecret } from './api-key.entity';
import { KeyChanges, lockKey } from './key-changes';
import { type KeyOverview, lastUse, readOverviews } from './key-overview';

/** A key with its new secret, shown this once. */
export interface RotatedKey {
  overview: KeyOverview;
  secret: string;
}

/** Puts a new secret in the place of a key's current one. */
@Injectable()
export class KeyRotation {
  private readonly format: ApiKeyFormat;

  constructor(
    private readonly transactions: Transactions,
    private readonly changes: KeyChanges,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
    private readonly random: Random,
    config: Config,
  ) {
    this.format = new ApiKeyFormat(config.apiKeyEnvironment);
  }

  /**
   * Gives the key a new secret. The one it replaces works for `overlapSeconds` more, unless it was reported as found; one
   * that an earlier rotation replaced ends now, so that there are never more than two. A reported key works again.
   *
   * Of several calls at once each makes a secret, one after the other, and the last one's is the key's.
   *
   * @throws ApiError `recent_login_required`, `api_key_not_found`, `token_revoked`, `service_unavailable`
   */
  async rotate(
    principal: Principal,
    keyId: string,
    overlapSeconds: number,
    origin: Origin,
  ): Promise<RotatedKey> {
    this.changes.requireRecentLogin(principal);
    const { userId } = principal;
    const now = this.clock.now();
    const secret = this.format.generate(this.random);
    const overview = await this.transactions.runFor(userId, async (tx) => {
      await lockForCaller(tx, principal);
      const key = await lockKey(tx, keyId, userId);
      if (!key) throw new ApiError('api_key_not_found');
      await retireSecrets(tx, key, { now, overlapSeconds: key.reportedAt ? 0 : overlapSeconds });
      await tx.insert(ApiKeySecret, newSecret(keyId, secret, now));
      await this.changes.announce(tx, [keyId]);
      await this.audit.record(tx, { type: 'api_key_rotated', userId, keyId }, origin);
      return (await readOverviews(tx, { userId, now }, keyId))[0] as KeyOverview;
    });
    return { overview, secret };
  }
}

/**
 * Leaves at most the current secret, for as long as it is to overlap. The use of the others stays with the key, also where
 * an earlier release has written it down with the secret only.
 */
async function retireSecrets(
  tx: EntityManager,
  key: ApiKey,
  { now, overlapSeconds }: { now: Date; overlapSeconds: number },
): Promise<void> {
  const secrets = await tx.findBy(ApiKeySecret, { keyId: key.id });
  const kept = overlapSeconds > 0 ? secrets.filter(({ replacedAt }) => replacedAt === null) : [];
  const gone = secrets.filter((secret) => !kept.includes(secret));
  for (const { hash } of kept) {
    await tx.update(ApiKeySecret, { hash }, { replacedAt: now, endsAt: addSeconds(now, overlapSeconds) });
  }
  if (gone.length > 0) await tx.delete(ApiKeySecret, { hash: In(gone.map(({ hash }) => hash)) });
  await tx.update(ApiKey, { id: key.id }, { reportedAt: null, lastUsedAt: lastUse(key, gone) });
}
