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

/** Asks a database that may be older than the trail is. */
export interface Reader {
  rows<Row>(sql: string): Promise<Row[]>;
}

/** Undefined where the database has no trail yet. Reads three rows. */
export async function readTrailState(reader: Reader): Promise<TrailState | undefined> {
  let heads: { sequence: number | string; link: string }[];
  try {
    heads = await reader.rows(`SELECT sequence, link FROM audit_chain WHERE name = '${CHAIN}'`);
  } catch {
    return undefined;
  }
  const head = heads[0] ? { sequence: Number(heads[0].sequence), link: heads[0].link } : BEGINNING;
  const instantOf = async (condition: string): Promise<Date | undefined> => {
    const [row] = await reader.rows<{ at: Date | string }>(
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
