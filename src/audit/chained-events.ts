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

/** As it is read, in the form of either engine. */
export type EventRow = Omit<StoredEvent, 'occurredAt' | 'sequence'> & {
  occurredAt: Date | string;
  sequence: number | string | null;
};

/** What a SELECT must name to be read as an `EventRow`. */
export const COLUMNS = `id, occurred_at AS occurredAt, type, reason, user_id AS userId, credential_id AS credentialId,
  ip, user_agent AS userAgent, request_id AS requestId, salt, digest, sequence, link`;

/** Sealed events after a place, in the order of the chain. Of two at one place the smaller id comes first. */
export async function readSealed(
  tx: EntityManager,
  after: { sequence: number; id: string },
  limit: number,
): Promise<StoredEvent[]> {
  const rows = await select<EventRow>(
    tx,
    `SELECT ${COLUMNS} FROM audit_events
     WHERE sequence >= ? AND (sequence > ? OR id > ?) ORDER BY sequence, id LIMIT ?`,
    [after.sequence, after.sequence, after.id, limit],
  );
  return rows.map(toStoredEvent);
}

/** The first sealed event from a place on; undefined where there is none. */
export async function firstSealed(tx: EntityManager, sequence: number): Promise<StoredEvent | undefined> {
  const [event] = await readSealed(tx, { sequence, id: '' }, 1);
  return event;
}

/** Which of the events without a place: a deletion gets its own only when its account's details are gone. */
const UNSEALED = {
  all: 'sequence IS NULL',
  deletions: "sequence IS NULL AND type = 'account_deleted'",
  others: "sequence IS NULL AND type <> 'account_deleted'",
} as const;

/**
 * Events without a place, oldest first. Asked for by the missing place and not by what came last, since commits do not
 * come in the order of ids.
 */
export async function readUnsealed(
  tx: EntityManager,
  afterId: string,
  limit: number,
  which: keyof typeof UNSEALED = 'all',
): Promise<StoredEvent[]> {
  const rows = await select<EventRow>(
    tx,
    `SELECT ${COLUMNS} FROM audit_events WHERE ${UNSEALED[which]} AND id > ? ORDER BY id LIMIT ?`,
    [afterId, limit],
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

/**
 * Which of these accounts have been deleted: they are no longer there, and the trail says so. It says so at its end, so it is
 * read from there: an account may have a million events.
 */
export async function deletedAmong(tx: EntityManager, userIds: Iterable<string>): Promise<Set<string>> {
  const missing = new Set(userIds);
  // Of no account there is no deletion to be looked for, among events that have no end.
  missing.delete('');
  if (missing.size === 0) return missing;
  const there = await select<{ id: string }>(
    tx,
    `SELECT id FROM users WHERE id IN (${[...missing].map(() => '?').join(', ')})`,
    [...missing],
  );
  for (const { id } of there) missing.delete(id);
  for (const userId of missing) {
    const [deletion] = await select(
      tx,
      "SELECT id FROM audit_events WHERE user_id = ? AND type = 'account_deleted' ORDER BY id DESC LIMIT 1",
      [userId],
    );
    if (!deletion) missing.delete(userId);
  }
  return missing;
}

/** Events of an account whose details are taken away at a time: no more than a request or anybody behind it has time for. */
export const BLANKED_AT_ONCE = 200;

const BLANK = "ip = '', user_agent = NULL, request_id = '', salt = NULL";

/**
 * Takes the details of an account's sealed events away, and the salt with them, of so many of them after `afterId`. An event
 * that is not sealed yet keeps them until it is, a moment later: only as a whole can it be told from one that somebody slipped
 * in.
 *
 * @returns the id after which to go on; undefined when there are no more
 */
export async function blankDetails(
  tx: EntityManager,
  userId: string,
  afterId: string,
): Promise<string | undefined> {
  const page = await select<{ id: string }>(
    tx,
    'SELECT id FROM audit_events WHERE user_id = ? AND id > ? ORDER BY id LIMIT ?',
    [userId, afterId, BLANKED_AT_ONCE],
  );
  const last = page.at(-1)?.id;
  if (last === undefined) return undefined;
  await execute(
    tx,
    `UPDATE audit_events SET ${BLANK}
     WHERE user_id = ? AND id > ? AND id <= ? AND sequence IS NOT NULL AND salt IS NOT NULL`,
    [userId, afterId, last],
  );
  return page.length < BLANKED_AT_ONCE ? undefined : last;
}

/** The same for events one by one. */
export async function blankEvents(tx: EntityManager, events: readonly StoredEvent[]): Promise<void> {
  for (const { id } of events) await execute(tx, `UPDATE audit_events SET ${BLANK} WHERE id = ?`, [id]);
}

/** Whether nothing is left of the details. */
export function isBlank({ ip, userAgent, requestId, salt }: StoredEvent): boolean {
  return ip === '' && userAgent === null && requestId === '' && salt === null;
}

export function toStoredEvent(row: EventRow): StoredEvent {
  return {
    ...row,
    occurredAt: toInstant(row.occurredAt),
    sequence: row.sequence === null ? null : Number(row.sequence),
  };
}
