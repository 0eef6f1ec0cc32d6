import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { accountScopes, lockForCaller } from '../access/account-lock';
import type { Principal } from '../access/principal';
import { coversScopes, parseScopes, USERS_READ } from '../access/scopes';
import { AuditTrail } from '../audit/audit-trail';
import { Config } from '../config/config';
import { Clock } from '../core/clock';
import { ApiError, fieldError } from '../core/errors';
import { Failpoints } from '../core/failpoints';
import { Ids } from '../core/ids';
import type { Origin } from '../core/origin';
import { Random } from '../core/random';
import { ApiKeyFormat } from '../crypto/api-key-format';
import { Transactions } from '../database/transactions';
import { ApiKey, ApiKeySecret, newSecret } from './api-key.entity';
import type { CreateApiKeyRequest, UpdateApiKeyRequest } from './api-keys.dto';
import { KeyChanges, lockKey } from './key-changes';
import { readOwnKey } from './key-facts';
import { type KeyOverview, readOverviews } from './key-overview';
import { type JudgedCheck, judgeEach, type KeyUse } from './key-verdict';

/** Keys an account may have, working or not. */
export const KEYS_PER_ACCOUNT = 100;

const DEFAULT_NAME = 'API key';

/** What owners do with their keys. */
@Injectable()
export class ApiKeysService {
  private readonly format: ApiKeyFormat;

  constructor(
    private readonly transactions: Transactions,
    private readonly changes: KeyChanges,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly ids: Ids,
    private readonly failpoints: Failpoints,
    config: Config,
  ) {
    this.format = new ApiKeyFormat(config.apiKeyEnvironment);
  }

  /**
   * Makes a key for the caller's account.
   *
   * @returns the key and, this once, its secret
   * @throws ApiError `recent_login_required`, `validation_failed`, `scope_not_held`, `api_key_limit_reached`,
   *   `token_revoked`, `service_unavailable`
   */
  async create(
    principal: Principal,
    request: CreateApiKeyRequest,
    origin: Origin,
  ): Promise<{ key: ApiKey; secret: string }> {
    this.changes.requireRecentLogin(principal);
    const secret = this.format.generate(this.random);
    const key = this.draft(principal.userId, request);
    await this.transactions.runFor(principal.userId, async (tx) => {
      await lockForCaller(tx, principal);
      await requireHeld(tx, principal.userId, parseScopes(key.scopes));
      await requireRoom(tx, key.userId);
      await tx.insert(ApiKey, key);
      await this.failpoints.reach('key_creation:key_written');
      await tx.insert(ApiKeySecret, newSecret(key.id, secret, key.createdAt));
      // Somebody may have tried that very key before there was one.
      await this.changes.announce(tx, [key.id]);
      await this.audit.record(tx, { type: 'api_key_created', userId: key.userId, keyId: key.id }, origin);
    });
    await this.failpoints.reach('key_creation:committed');
    return { key, secret };
  }

  /** The account's keys, newest first. Opens its own reads. */
  async list(userId: string): Promise<KeyOverview[]> {
    const account = { userId, now: this.clock.now() };
    return this.transactions.readFor(userId, (tx) => readOverviews(tx, account));
  }

  /**
   * One key of the account. Opens its own reads.
   *
   * @throws ApiError `api_key_not_found` also for a key of somebody else and for any other text
   */
  async get(userId: string, keyId: string): Promise<KeyOverview> {
    const account = { userId, now: this.clock.now() };
    const [found] = await this.transactions.read((tx) => readOverviews(tx, account, keyId));
    if (!found) throw new ApiError('api_key_not_found');
    return found;
  }

  /**
   * Changes what the request names and nothing else. From the commit on it holds on this instance, within a second on
   * every other.
   *
   * @throws ApiError `api_key_not_found`, `api_key_reported`, `recent_login_required` where scopes are added,
   *   `scope_not_held`, `validation_failed`, `token_revoked`, `service_unavailable`
   */
  async update(
    principal: Principal,
    keyId: string,
    request: UpdateApiKeyRequest,
    origin: Origin,
  ): Promise<KeyOverview> {
    const { userId } = principal;
    const now = this.clock.now();
    const settings = this.settingsOf(request, now);
    return this.transactions.runFor(userId, async (tx) => {
      await lockForCaller(tx, principal);
      const key = await lockKey(tx, keyId, userId);
      if (!key) throw new ApiError('api_key_not_found');
      if (request.enabled && key.reportedAt) throw new ApiError('api_key_reported');
      const { scopes } = request;
      if (scopes && !coversScopes(parseScopes(key.scopes), scopes))
        this.changes.requireRecentLogin(principal);
      if (scopes) await requireHeld(tx, userId, scopes);
      await this.change(tx, key, settings, origin);
      await this.toggle(tx, key, request.enabled, origin);
      return (await readOverviews(tx, { userId, now }, keyId))[0] as KeyOverview;
    });
  }

  /**
   * What would become of a use of the key, check by check. Opens its own reads.
   *
   * @throws ApiError `api_key_not_found` also for a key of somebody else and for any other text
   */
  async explain(userId: string, keyId: string, use: Omit<KeyUse, 'now'>): Promise<JudgedCheck[]> {
    const key = await this.transactions.read((tx) => readOwnKey(tx, userId, keyId));
    if (!key) throw new ApiError('api_key_not_found');
    return judgeEach(key, { ...use, now: this.clock.now() });
  }

  /**
   * Deletes a key of the account. From the commit on this instance refuses it at once, others within a second.
   *
   * @throws ApiError `api_key_not_found` also for a key of somebody else and for any other text; `token_revoked`,
   *   `service_unavailable`
   */
  async delete(principal: Principal, keyId: string, origin: Origin): Promise<void> {
    const { userId } = principal;
    await this.transactions.runFor(userId, async (tx) => {
      await lockForCaller(tx, principal);
      const { affected } = await tx.delete(ApiKey, { id: keyId, userId });
      if (affected !== 1) throw new ApiError('api_key_not_found');
      await this.changes.announce(tx, [keyId]);
      await this.audit.record(tx, { type: 'api_key_deleted', userId, keyId }, origin);
    });
  }

  /** Deletes all keys of the account inside `tx`, which must hold the account's lock. */
  async deleteAll(tx: EntityManager, userId: string, origin: Origin): Promise<void> {
    const keyIds = await keyIdsOf(tx, userId);
    await tx.delete(ApiKey, { userId });
    await this.changes.announce(tx, keyIds);
    for (const keyId of keyIds) {
      await this.audit.record(tx, { type: 'api_key_deleted', userId, keyId }, origin);
    }
  }

  /** Tells all instances inside `tx` that something about the account's keys is no longer as it was. */
  async announceAll(tx: EntityManager, userId: string): Promise<void> {
    await this.changes.announce(tx, await keyIdsOf(tx, userId));
  }

  private draft(userId: string, request: CreateApiKeyRequest): ApiKey {
    const now = this.clock.now();
    return {
      id: this.ids.next('key'),
      userId,
      name: request.name ?? DEFAULT_NAME,
      scopes: (request.scopes ?? [USERS_READ]).join(' '),
      allowedIps: request.allowedIps?.join(' ') ?? null,
      expiresAt: futureInstant(request.expiresAt, now) ?? null,
      disabledAt: null,
      reportedAt: null,
      lastUsedAt: null,
      createdAt: now,
    };
  }

  /** The columns that a request sets. */
  private settingsOf({ name, scopes, expiresAt, allowedIps }: UpdateApiKeyRequest, now: Date) {
    return {
      ...(name !== undefined && { name }),
      ...(scopes !== undefined && { scopes: scopes.join(' ') }),
      ...(expiresAt !== undefined && { expiresAt: futureInstant(expiresAt, now) }),
      ...(allowedIps !== undefined && { allowedIps: allowedIps?.join(' ') ?? null }),
    };
  }

  private async change(
    tx: EntityManager,
    { id: keyId, userId }: ApiKey,
    settings: Partial<ApiKey>,
    origin: Origin,
  ): Promise<void> {
    if (Object.keys(settings).length === 0) return;
    await tx.update(ApiKey, { id: keyId }, settings);
    await this.changes.announce(tx, [keyId]);
    await this.audit.record(tx, { type: 'api_key_changed', userId, keyId }, origin);
  }

  private async toggle(
    tx: EntityManager,
    { id: keyId, userId, disabledAt }: ApiKey,
    enabled: boolean | undefined,
    origin: Origin,
  ): Promise<void> {
    if (enabled === undefined || enabled === (disabledAt === null)) return;
    await tx.update(ApiKey, { id: keyId }, { disabledAt: enabled ? null : this.clock.now() });
    await this.changes.announce(tx, [keyId]);
    const type = enabled ? 'api_key_enabled' : 'api_key_disabled';
    await this.audit.record(tx, { type, userId, keyId }, origin);
  }
}

/** Under the account's lock the answer holds. */
async function requireHeld(tx: EntityManager, userId: string, scopes: string[]): Promise<void> {
  if (!coversScopes(await accountScopes(tx, userId), scopes)) throw new ApiError('scope_not_held');
}

async function keyIdsOf(tx: EntityManager, userId: string): Promise<string[]> {
  const keys = await tx.find(ApiKey, { select: { id: true }, where: { userId } });
  return keys.map(({ id }) => id);
}

/** The account's lock makes the count hold: two calls for the last place wait for each other. */
async function requireRoom(tx: EntityManager, userId: string): Promise<void> {
  const count = await tx.countBy(ApiKey, { userId });
  if (count >= KEYS_PER_ACCOUNT) throw new ApiError('api_key_limit_reached');
}

/** @throws ApiError `validation_failed` for what has passed */
function futureInstant(text: string | null | undefined, now: Date): Date | null {
  if (text === undefined || text === null) return null;
  const instant = new Date(text);
  if (instant <= now) throw fieldError('expiresAt', 'isFuture', 'expiresAt must lie in the future');
  return instant;
}
