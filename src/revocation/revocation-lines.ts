import type { EntityManager } from 'typeorm';
import { readOnlyServer } from '../database/failures';
import { readOnlyOf, select, timeOf, toInstant } from '../database/sql';
import type { RevocationEntry } from './revocation-entry.entity';

/**
 * Lines that one statement reads. After somebody has ended all sessions there may be a million, which must not be in memory at
 * once when an instance starts.
 */
export const PAGE_SIZE = 5_000;

/** Lines behind one position and up to another that end later than that. */
export interface Stretch {
  from: number;
  upTo: number;
  endingAfter: Date;
}

/** How the feed stands in the database. */
export interface Standing {
  /** How many lines there are in the stretch that was asked for. */
  count: number;
  /** The position of the newest line of all. */
  newest: number;
  /** The database's time. */
  time: Date;
}

/** What stands on a row of the answer. */
type Aspect = 'time' | 'count' | 'newest';

interface AspectRow {
  aspect: Aspect;
  number: number | string;
  time: Date | string;
}

/** As it is read. */
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
  const rows = await select<AspectRow>(
    tx,
    `SELECT 'time' AS aspect, ${readOnlyOf(tx)} AS number, ${timeOf(tx)} AS time
     UNION ALL
     SELECT 'count', COUNT(*), ${timeOf(tx)} FROM revocation_entries
     WHERE position > ? AND position <= ? AND expires_at > ?
     UNION ALL
     SELECT 'newest', COALESCE(MAX(position), 0), ${timeOf(tx)} FROM revocation_entries`,
    [from, upTo, endingAfter],
  );
  const aspects = new Map(rows.map((row) => [row.aspect, row]));
  const numberOf = (aspect: Aspect) => Number(aspects.get(aspect)?.number);
  if (numberOf('time') === 1) throw readOnlyServer();
  const time = toInstant(aspects.get('time')?.time as Date | string);
  return { count: numberOf('count'), newest: numberOf('newest'), time };
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
