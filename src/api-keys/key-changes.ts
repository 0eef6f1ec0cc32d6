import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Principal } from '../access/principal';
import { Config } from '../config/config';
import { Clock } from '../core/clock';
import { ApiError } from '../core/errors';
import { addSeconds, toNumericDate } from '../core/instant';
import { askTime, execute } from '../database/sql';
import { RevocationAnnouncer } from '../revocation/revocation-announcer';
import { ApiKey } from './api-key.entity';

/**
 * Seconds for which instances are told of a change. What was found before it is forgotten within a minute anyway; the rest
 * is for clocks that differ.
 */
const ANNOUNCEMENT_SECONDS = 3600;

/** What has to hold before a key is changed, and what has to happen whenever one was. */
@Injectable()
export class KeyChanges {
  constructor(
    private readonly announcer: RevocationAnnouncer,
    private readonly config: Config,
    private readonly clock: Clock,
  ) {}

  /**
   * ASVS 7.5.3: a stolen access token alone must not be turned into a credential that outlives it.
   *
   * @throws ApiError `recent_login_required`
   */
  requireRecentLogin({ authenticatedAt }: Principal): void {
    const { stepUpMaxAge } = this.config;
    if (stepUpMaxAge === 0) return;
    // In whole seconds, since that is what a token says of the sign-in.
    const age = authenticatedAt && toNumericDate(this.clock.now()) - toNumericDate(authenticatedAt);
    if (age === undefined || age > stepUpMaxAge) throw new ApiError('recent_login_required');
  }

  /** Tells all instances inside `tx` that these keys are no longer what they were, or are there now. */
  async announce(tx: EntityManager, keyIds: string[]): Promise<void> {
    // By a clock that is hours behind, the line would have ended before anybody reads it.
    const now = this.clock.isTrusted ? this.clock.now() : await askTime(tx);
    const expiresAt = addSeconds(now, ANNOUNCEMENT_SECONDS);
    return this.announcer.announce(
      tx,
      'api_key',
      keyIds.map((id) => ({ id, expiresAt })),
    );
  }
}

/**
 * Takes the key's row for the rest of the transaction, so that its secrets stay what they are. Behind the account's lock
 * where both are taken.
 *
 * @param userId where only a key of that account will do
 */
export async function lockKey(tx: EntityManager, keyId: string, userId?: string): Promise<ApiKey | null> {
  const matched = await execute(
    tx,
    'UPDATE api_keys SET user_id = user_id WHERE id = ? AND user_id = COALESCE(?, user_id)',
    [keyId, userId ?? null],
  );
  return matched === 1 ? tx.findOneBy(ApiKey, { id: keyId }) : null;
}
