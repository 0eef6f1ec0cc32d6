import { isMissingTable, type ReadOnlyView } from '../database/read-only-view';
import { toInstant } from '../database/sql';
import { CHAIN } from './chained-events';
import { BEGINNING, type Head } from './event-seal';

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
