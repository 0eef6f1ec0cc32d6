import type { EntityManager } from 'typeorm';
import { readOnlyServer } from '../database/failures';
import { readOnlyOf, select, timeOf, toInstant } from '../database/sql';
import type { RevocationEntry } from './revocation-entry.entity';

/**
 * Lines that one statement reads. After somebody has ended all sessions there may be a million; what is learnt of each stays in
 * memory, its row need not.
 */
export const PAGE_SIZE = 5_000;

/** Lines behind one position and up to another that end later than that. */
export interface Stretch {
  from: number;
  upTo: number;
  endingAfter: Date;
}

/** Before every end: where no line is to be left out. */
export const EVER = new Date(0);

/** How the feed stands in the database. */
export interface Standing {
  /** How many lines there are in the stretch that was asked for. */
  count: number;
  /** The position of the newest line of all. */
  newest: number;
  /** The database's time. */
  time: Date;
}

/** As it is read. */
interface StoredStanding {
  isReadOnly: number;
  time: Date | string;
  count: number | string;
  newest: number | string;
}

type StoredLine = Omit<RevocationEntry, 'expiresAt'> & { expiresAt: Date | string };

/**
 * Asks how the feed stands, in one statement.
 *
 * @throws Error for which `isReadOnly` holds, from a server that takes no writes: another may have taken its place, and what is
 * revoked there does not come here, or late
 */
export async function readStanding(
  tx: EntityManager,
  { from, upTo, endingAfter }: Stretch,
): Promise<Standing> {
  const [row] = await select<StoredStanding>(
    tx,
    `SELECT ${readOnlyOf(tx)} AS isReadOnly, ${timeOf(tx)} AS time,
       (SELECT COUNT(*) FROM revocation_entries WHERE position > ? AND position <= ? AND expires_at > ?) AS count,
       (SELECT COALESCE(MAX(position), 0) FROM revocation_entries) AS newest`,
    [from, upTo, endingAfter],
  );
  const { isReadOnly, time, count, newest } = row as StoredStanding;
  if (Number(isReadOnly) === 1) throw readOnlyServer();
  return { time: toInstant(time), count: Number(count), newest: Number(newest) };
}

/** The first lines of a stretch, in the order of their positions: `PAGE_SIZE` of them, or all where they are fewer. */
export async function readPage(
  tx: EntityManager,
  { from, upTo, endingAfter }: Stretch,
): Promise<RevocationEntry[]> {
  const rows = await select<StoredLine>(
    tx,
    `SELECT position, subject, subject_id AS subjectId, expires_at AS expiresAt FROM revocation_entries
     WHERE position > ? AND position <= ? AND expires_at > ? ORDER BY position LIMIT ${PAGE_SIZE}`,
    [from, upTo, endingAfter],
  );
  return rows.map((row) => ({ ...row, expiresAt: toInstant(row.expiresAt) }));
}

/** The same for a page that is not the first: it may come from another server than the one before. */
export async function readNextPage(tx: EntityManager, rest: Stretch): Promise<RevocationEntry[]> {
  const [server] = await select<Pick<StoredStanding, 'isReadOnly'>>(
    tx,
    `SELECT ${readOnlyOf(tx)} AS isReadOnly`,
    [],
  );
  if (Number(server?.isReadOnly) === 1) throw readOnlyServer();
  return readPage(tx, rest);
}
