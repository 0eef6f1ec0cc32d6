import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { takeAccount } from '../access/account-lock';
import { parseScopes, withinOwner } from '../access/scopes';
import { AuditTrail } from '../audit/audit-trail';
import { Clock } from '../core/clock';
import type { Origin } from '../core/origin';
import { inPages } from '../database/pages';
import { select, toInstant } from '../database/sql';
import { Transactions } from '../database/transactions';
import { ApiKey } from './api-key.entity';
import { KeyChanges, lockKey } from './key-changes';

/** Why a key does not work, or that it does. */
export type KeyState = 'works' | 'disabled' | 'reported' | 'expired' | 'owner disabled';

/** Which keys are asked for; absent fields do not filter. */
export interface KeyFilter {
  userId?: string;
  /** Only those that do not work, for whatever reason. */
  disabled?: boolean;
  /** Made then or later. */
  since?: Date;
}

/** A key, and whose it is. */
export interface KeyOfUser {
  id: string;
  userId: string;
  username: string;
  name: string;
  /** What it may do: what it was given, as far as its owner holds it. */
  scopes: string[];
  state: KeyState;
  createdAt: Date;
  /** As far as it has been written down: instances do so every few seconds. */
  lastUsedAt: Date | null;
  expiresAt: Date | null;
}

type StoredInstant = Date | string;

interface Row {
  id: string;
  userId: string;
  username: string;
  name: string;
  scopes: string;
  ownerScopes: string;
  createdAt: StoredInstant;
  expiresAt: StoredInstant | null;
  disabledAt: StoredInstant | null;
  reportedAt: StoredInstant | null;
  ownerDisabledAt: StoredInstant | null;
  lastUsedAt: StoredInstant | null;
  secretUsedAt: StoredInstant | null;
}

/** Everybody's keys, for an operator. */
@Injectable()
export class OperatorKeys {
  constructor(
    private readonly transactions: Transactions,
    private readonly changes: KeyChanges,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
  ) {}

  /**
   * The keys in the order in which they were made, however many.
   *
   * @param onProgress told with each page how many have been looked at, those that are left out among them
   * @throws ApiError `service_unavailable`
   */
  async *list(
    { userId, disabled, since }: KeyFilter,
    onProgress?: (rows: number) => void,
  ): AsyncGenerator<KeyOfUser> {
    const rows = inPages(
      this.transactions,
      (tx, afterId, limit) => readRows(tx, userId, afterId, limit),
      onProgress,
    );
    for await (const row of rows) {
      const key = toKey(row, this.clock.now());
      if (disabled !== undefined && disabled !== (key.state !== 'works')) continue;
      if (since && key.createdAt < since) continue;
      yield key;
    }
  }

  /**
   * Disables a key. From the commit on no instance lets it in for more than a second. Its owner can enable it again. Repeated, it
   * tells all instances again: a commit that a stall has held up comes too late for those that have read past its line, and its
   * caller was answered 503.
   *
   * @returns whether it was enabled before; undefined where there is no such key
   * @throws ApiError `service_unavailable`
   */
  async disable(keyId: string, origin: Origin): Promise<boolean | undefined> {
    return this.transactions.run(async (tx) => {
      const found = await tx.findOneBy(ApiKey, { id: keyId });
      // The account's lock first, like whoever else takes both.
      if (found) await takeAccount(tx, found.userId);
      const key = await lockKey(tx, keyId);
      if (!key) return undefined;
      await this.changes.announce(tx, [keyId]);
      if (key.disabledAt !== null) return false;
      const { userId } = key;
      await tx.update(ApiKey, { id: keyId }, { disabledAt: this.clock.now() });
      await this.audit.record(tx, { type: 'api_key_disabled', userId, keyId, reason: 'by_operator' }, origin);
      return true;
    });
  }
}

function readRows(
  tx: EntityManager,
  userId: string | undefined,
  afterId: string,
  limit: number,
): Promise<Row[]> {
  return select<Row>(
    tx,
    `SELECT k.id AS id, k.user_id AS userId, u.username AS username, k.name AS name, k.scopes AS scopes,
       u.scopes AS ownerScopes, k.created_at AS createdAt, k.expires_at AS expiresAt, k.disabled_at AS disabledAt,
       k.reported_at AS reportedAt, u.disabled_at AS ownerDisabledAt, k.last_used_at AS lastUsedAt,
       (SELECT MAX(s.last_used_at) FROM api_key_secrets s WHERE s.key_id = k.id) AS secretUsedAt
     FROM api_keys k JOIN users u ON u.id = k.user_id
     WHERE k.id > ? ${userId === undefined ? '' : 'AND k.user_id = ?'} ORDER BY k.id LIMIT ?`,
    [afterId, ...(userId === undefined ? [] : [userId]), limit],
  );
}

function toKey(row: Row, now: Date): KeyOfUser {
  const { id, userId, username, name } = row;
  const uses = [row.lastUsedAt, row.secretUsedAt].flatMap((use) =>
    use === null ? [] : [toInstant(use).getTime()],
  );
  const expiresAt = row.expiresAt === null ? null : toInstant(row.expiresAt);
  return {
    ...{ id, userId, username, name, expiresAt },
    scopes: withinOwner(parseScopes(row.scopes), parseScopes(row.ownerScopes)),
    state: stateOf(row, expiresAt, now),
    createdAt: toInstant(row.createdAt),
    lastUsedAt: uses.length === 0 ? null : new Date(Math.max(...uses)),
  };
}

function stateOf(row: Row, expiresAt: Date | null, now: Date): KeyState {
  if (row.ownerDisabledAt !== null) return 'owner disabled';
  if (row.reportedAt !== null) return 'reported';
  if (row.disabledAt !== null) return 'disabled';
  return expiresAt !== null && expiresAt <= now ? 'expired' : 'works';
}
