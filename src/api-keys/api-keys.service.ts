import { Injectable } from '@nestjs/common';
import { type EntityManager, In } from 'typeorm';
import { accountScopes, lockForCaller } from '../access/account-lock';
import type { Principal } from '../access/principal';
import { holdsScope, USERS_READ } from '../access/scopes';
import { AuditTrail } from '../audit/audit-trail';
import { Config } from '../config/config';
import { Clock } from '../core/clock';
import { ApiError, fieldError } from '../core/errors';
import { Failpoints } from '../core/failpoints';
import { Ids } from '../core/ids';
import { addSeconds, toNumericDate } from '../core/instant';
import type { Origin } from '../core/origin';
import { Random } from '../core/random';
import { ApiKeyFormat } from '../crypto/api-key-format';
import { sha256Hex } from '../crypto/sha256';
import { Transactions } from '../database/transactions';
import { RevocationFeed } from '../revocation/revocation-feed';
import { ApiKey, ApiKeySecret } from './api-key.entity';
import type { CreateApiKeyRequest } from './api-keys.dto';
import { FOUND_KEY_LIFETIME_SECONDS } from './found-keys';

/** Keys an account may have, working or not. */
export const KEYS_PER_ACCOUNT = 100;

const DEFAULT_NAME = 'API key';

/** A key and what is known of its use. */
export interface KeyWithUse {
  key: ApiKey;
  lastUsedAt: Date | null;
}

/** What owners do with their keys. */
@Injectable()
export class ApiKeysService {
  private readonly format: ApiKeyFormat;

  constructor(
    private readonly transactions: Transactions,
    private readonly feed: RevocationFeed,
    private readonly audit: AuditTrail,
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly ids: Ids,
    private readonly failpoints: Failpoints,
  ) {
    this.format = new ApiKeyFormat(config.apiKeyEnvironment);
  }

  /**
   * Makes a key for the caller's account.
   *
   * @returns the key's row and, this once, the key itself
   * @throws ApiError `recent_login_required`, `validation_failed`, `scope_not_held`, `api_key_limit_reached`,
   *   `token_revoked`, `service_unavailable`
   */
  async create(
    principal: Principal,
    request: CreateApiKeyRequest,
    origin: Origin,
  ): Promise<{ key: ApiKey; secret: string }> {
    this.requireRecentLogin(principal);
    const now = this.clock.now();
    const secret = this.format.generate(this.random);
    const key: ApiKey = {
      id: this.ids.next('key'),
      userId: principal.userId,
      name: request.name ?? DEFAULT_NAME,
      scopes: (request.scopes ?? [USERS_READ]).join(' '),
      allowedIps: request.allowedIps?.join(' ') ?? null,
      expiresAt: futureInstant(request.expiresAt, now),
      disabledAt: null,
      createdAt: now,
    };
    await this.transactions.run(async (tx) => {
      await lockForCaller(tx, principal);
      await requireHeldScopes(tx, key);
      await requireRoom(tx, key.userId);
      await tx.insert(ApiKey, key);
      await tx.insert(ApiKeySecret, {
        hash: sha256Hex(secret),
        keyId: key.id,
        createdAt: now,
        lastUsedAt: null,
      });
      await this.audit.record(tx, { type: 'api_key_created', userId: key.userId, keyId: key.id }, origin);
      await this.failpoints.reach('key_creation:key_written');
    });
    await this.failpoints.reach('key_creation:committed');
    return { key, secret };
  }

  /** The account's keys, newest first. Opens its own reads. */
  async list(userId: string): Promise<KeyWithUse[]> {
    return this.transactions.read(async (tx) => {
      const keys = await tx.find(ApiKey, { where: { userId }, order: { id: 'DESC' } });
      const secrets = await tx.findBy(ApiKeySecret, { keyId: In(keys.map(({ id }) => id)) });
      return keys.map((key) => ({
        key,
        lastUsedAt: lastUse(secrets.filter(({ keyId }) => keyId === key.id)),
      }));
    });
  }

  /**
   * Deletes a key of the account. From the commit on this instance refuses it at once, others within a second.
   *
   * @throws ApiError `api_key_not_found` also for a key of somebody else and for any other text
   */
  async delete(userId: string, keyId: string, origin: Origin): Promise<void> {
    await this.transactions.run(async (tx) => {
      const { affected } = await tx.delete(ApiKey, { id: keyId, userId });
      if (affected !== 1) throw new ApiError('api_key_not_found');
      await this.announce(tx, [keyId]);
      await this.audit.record(tx, { type: 'api_key_deleted', userId, keyId }, origin);
    });
  }

  /** Deletes all keys of the account inside `tx`, which must hold the account's lock. */
  async deleteAll(tx: EntityManager, userId: string, origin: Origin): Promise<void> {
    const keys = await tx.find(ApiKey, { select: { id: true }, where: { userId } });
    await tx.delete(ApiKey, { userId });
    await this.announce(
      tx,
      keys.map(({ id }) => id),
    );
    for (const { id: keyId } of keys) {
      await this.audit.record(tx, { type: 'api_key_deleted', userId, keyId }, origin);
    }
  }

  /** Tells all instances inside `tx` that something about the account's keys is no longer as it was. */
  async announceAll(tx: EntityManager, userId: string): Promise<void> {
    const keys = await tx.find(ApiKey, { select: { id: true }, where: { userId } });
    await this.announce(
      tx,
      keys.map(({ id }) => id),
    );
  }

  private announce(tx: EntityManager, keyIds: string[]): Promise<void> {
    // What was found before now is forgotten by every instance within the life of a found key.
    const expiresAt = addSeconds(this.clock.now(), 2 * FOUND_KEY_LIFETIME_SECONDS);
    return this.feed.announce(
      tx,
      'api_key',
      keyIds.map((id) => ({ id, expiresAt })),
    );
  }

  /** ASVS 7.5.3: a stolen access token alone must not be turned into a credential that outlives it. */
  private requireRecentLogin({ authenticatedAt }: Principal): void {
    const { stepUpMaxAge } = this.config;
    if (stepUpMaxAge === 0) return;
    // In whole seconds, since that is what a token says of the sign-in.
    const age = authenticatedAt && toNumericDate(this.clock.now()) - toNumericDate(authenticatedAt);
    if (age === undefined || age > stepUpMaxAge) throw new ApiError('recent_login_required');
  }
}

async function requireHeldScopes(tx: EntityManager, key: ApiKey): Promise<void> {
  const held = await accountScopes(tx, key.userId);
  if (!key.scopes.split(' ').every((scope) => holdsScope(held, scope))) throw new ApiError('scope_not_held');
}

/** The account's lock makes the count hold: two calls for the last place wait for each other. */
async function requireRoom(tx: EntityManager, userId: string): Promise<void> {
  const count = await tx.countBy(ApiKey, { userId });
  if (count >= KEYS_PER_ACCOUNT) throw new ApiError('api_key_limit_reached');
}

function futureInstant(text: string | undefined, now: Date): Date | null {
  if (text === undefined) return null;
  const instant = new Date(text);
  if (instant <= now) throw fieldError('expiresAt', 'isFuture', 'expiresAt must lie in the future');
  return instant;
}

function lastUse(secrets: ApiKeySecret[]): Date | null {
  const uses = secrets.flatMap(({ lastUsedAt }) => (lastUsedAt ? [lastUsedAt.getTime()] : []));
  return uses.length === 0 ? null : new Date(Math.max(...uses));
}
