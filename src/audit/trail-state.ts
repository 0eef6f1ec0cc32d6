import type { DatabaseLocation } from '../config/database-location';
import { isMissingTable, openReadOnly, type ReadOnlyView } from '../database/read-only-view';
import { toInstant } from '../database/sql';
import { CHAIN, COLUMNS, type EventRow, toStoredEvent } from './chained-events';
import { BEGINNING, type EventSeal, type Head } from './event-seal';

/** How far the trail is sealed, and since when. */
export interface TrailState {
  head: Head;
  /** When the last sealed event happened; undefined where none is sealed, or it has been pruned. */
  sealedAt: Date | undefined;
  /** When the oldest event happened that waits for its seal. */
  waitingSince: Date | undefined;
}

/** Undefined where the database has no trail yet, as one that is older than the trail. Reads three rows. */
export async function readTrailState(view: ReadOnlyView): Promise<TrailState | undefined> {
  let heads: { sequence: number | string; link: string }[];
  try {
    heads = await view.rows(`SELECT sequence, link FROM audit_chain WHERE name = '${CHAIN}'`);
  } catch (error) {
    if (isMissingTable(error)) return undefined;
    throw error;
  }
  const head = heads[0] ? { sequence: Number(heads[0].sequence), link: heads[0].link } : BEGINNING;
  const instantOf = async (condition: string): Promise<Date | undefined> => {
    const [row] = await view.rows<{ at: Date | string }>(
      `SELECT occurred_at AS at FROM audit_events WHERE ${condition} ORDER BY id LIMIT 1`,
    );
    return row && toInstant(row.at);
  };
  return {
    head,
    sealedAt: await instantOf(`sequence = ${head.sequence}`),
    waitingSince: await instantOf('sequence IS NULL'),
  };
}

/** Whether events stand in a database, which is opened for that and left as it is: then they are sealed with a secret that there was. */
export async function hasEvents(location: DatabaseLocation): Promise<boolean> {
  const view = await openReadOnly(location);
  try {
    const state = view && (await readTrailState(view));
    return (
      state !== undefined && (state.head.sequence > BEGINNING.sequence || state.waitingSince !== undefined)
    );
  } finally {
    await view?.close();
  }
}

/**
 * Whether the last sealed event follows the one before it by a link of `seal`, so that its secret is among those that are known.
 * Undefined where there is none, or the one before it has been pruned. Reads two rows; for a database that has a trail.
 */
export async function isSealedBy(seal: EventSeal, view: ReadOnlyView): Promise<boolean | undefined> {
  const rows = await view.rows<EventRow>(
    `SELECT ${COLUMNS} FROM audit_events WHERE sequence IS NOT NULL ORDER BY sequence DESC, id LIMIT 2`,
  );
  const [last, before] = rows.map(toStoredEvent);
  if (!last) return undefined;
  const head = before ? { sequence: before.sequence as number, link: before.link as string } : BEGINNING;
  if (last.sequence !== head.sequence + 1) return undefined;
  return seal.findingOf(head, last, last.digest ?? '', last.link ?? '') !== undefined;
}
