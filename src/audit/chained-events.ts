import type { EntityManager } from 'typeorm';
import { execute, select, toInstant } from '../database/sql';
import { BEGINNING, type EventCore, type EventDetails, type Head } from './event-seal';

/** The chain's row. */
export const CHAIN = 'audit_events';

/** An event with everything that the chain makes of it. */
export interface StoredEvent extends EventCore, EventDetails {
  salt: string | null;
  digest: string | null;
  sequence: number | null;
  link: string | null;
}

type Row = Omit<StoredEvent, 'occurredAt' | 'sequence'> & {
  occurredAt: Date | string;
  sequence: number | string | null;
};

const COLUMNS = `id, occurred_at AS occurredAt, type, reason, user_id AS userId, credential_id AS credentialId,
  ip, user_agent AS userAgent, request_id AS requestId, salt, digest, sequence, link`;

/** Sealed events from behind a place on, in the order of the chain. Of two at one place the smaller id comes first. */
export async function readSealed(
  tx: EntityManager,
  behind: { sequence: number; id: string },
  most: number,
): Promise<StoredEvent[]> {
  const rows = await select<Row>(
    tx,
    `SELECT ${COLUMNS} FROM audit_events
     WHERE sequence >= ? AND (sequence > ? OR id > ?) ORDER BY sequence, id LIMIT ?`,
    [behind.sequence, behind.sequence, behind.id, most],
  );
  return rows.map(toStoredEvent);
}

/**
 * Events without a place, oldest first. Asked for by the missing place and not by what came last, since commits do not
 * come in the order of ids.
 */
export async function readUnsealed(
  tx: EntityManager,
  behindId: string,
  most: number,
): Promise<StoredEvent[]> {
  const rows = await select<Row>(
    tx,
    `SELECT ${COLUMNS} FROM audit_events WHERE sequence IS NULL AND id > ? ORDER BY id LIMIT ?`,
    [behindId, most],
  );
  return rows.map(toStoredEvent);
}

export async function countUnsealed(tx: EntityManager): Promise<number> {
  const [row] = await select<{ count: number | string }>(
    tx,
    'SELECT COUNT(*) AS count FROM audit_events WHERE sequence IS NULL',
    [],
  );
  return Number(row?.count);
}

/** How far the chain has come, by its own account. */
export async function readHead(tx: EntityManager): Promise<Head> {
  const [row] = await select<{ sequence: number | string; link: string }>(
    tx,
    'SELECT sequence, link FROM audit_chain WHERE name = ?',
    [CHAIN],
  );
  return row ? { sequence: Number(row.sequence), link: row.link } : BEGINNING;
}

/** Which of these accounts have been deleted: the trail says so, and they are no longer there. */
export async function deletedAmong(tx: EntityManager, userIds: Iterable<string>): Promise<Set<string>> {
  const wanted = [...new Set(userIds)];
  if (wanted.length === 0) return new Set();
  const rows = await select<{ userId: string }>(
    tx,
    `SELECT DISTINCT e.user_id AS userId FROM audit_events e
     WHERE e.type = 'account_deleted' AND e.user_id IN (${wanted.map(() => '?').join(', ')})
       AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = e.user_id)`,
    wanted,
  );
  return new Set(rows.map(({ userId }) => userId));
}

/**
 * Takes the details of an account's sealed events away, and the salt with them. An event that is not sealed yet keeps them
 * until it is, a moment later: only as a whole can it be told from one that somebody slipped in.
 */
export async function blankDetails(tx: EntityManager, userId: string): Promise<void> {
  await execute(
    tx,
    `UPDATE audit_events SET ip = '', user_agent = NULL, request_id = '', salt = NULL
     WHERE user_id = ? AND sequence IS NOT NULL AND salt IS NOT NULL`,
    [userId],
  );
}

/** Whether nothing is left of the details. */
export function isBlank({ ip, userAgent, requestId, salt }: StoredEvent): boolean {
  return ip === '' && userAgent === null && requestId === '' && salt === null;
}

function toStoredEvent(row: Row): StoredEvent {
  return {
    ...row,
    occurredAt: toInstant(row.occurredAt),
    sequence: row.sequence === null ? null : Number(row.sequence),
  };
}
