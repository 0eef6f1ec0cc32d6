import type { EntityManager } from 'typeorm';
import type { Transactions } from './transactions';

/** Rows in memory at a time, and in one statement. */
const PAGE_SIZE = 500;

/**
 * All rows of a table in the order of their ids, a page at a time: memory stays bounded, and nobody waits behind a statement
 * that reads everything. Each page is a read of its own, so rows that come or go meanwhile may be there or not.
 *
 * @param read the rows after an id, in order, at most so many
 * @param onProgress told with each page how many have been read
 * @throws ApiError `service_unavailable`
 */
export async function* inPages<Row extends { id: string }>(
  transactions: Transactions,
  read: (tx: EntityManager, afterId: string, limit: number) => Promise<Row[]>,
  onProgress?: (read: number) => void,
): AsyncGenerator<Row> {
  let count = 0;
  for (let afterId = ''; ;) {
    const page = await transactions.read((tx) => read(tx, afterId, PAGE_SIZE));
    count += page.length;
    onProgress?.(count);
    yield* page;
    const last = page.at(-1);
    if (!last || page.length < PAGE_SIZE) return;
    afterId = last.id;
  }
}
