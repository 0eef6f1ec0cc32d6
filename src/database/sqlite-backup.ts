import { once } from 'node:events';
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { READ_TIMEOUT_MS, readOnlyUrl } from './read-only-view';

/** Milliseconds between two looks at how far a copy has come. */
const LOOK_MS = 50;

/** Told how many bytes are copied, of how many; all of them while the copy is checked. */
type Told = (done: number, total: number) => void;

/**
 * Copies an SQLite database into a new file, as of one moment, while others go on reading and writing it. Copying the file
 * itself would miss what lies in the write-ahead log beside it.
 *
 * The copy appears whole, checked and on the disk, or not at all; what is there already is not overwritten.
 *
 * @param workerFile what a thread runs: `statement-worker.js`
 * @returns its size in bytes
 * @throws Error when the target is there, the database is not, or the disk is full
 */
export async function backUpSqlite(
  file: string,
  target: string,
  workerFile: string,
  told: Told,
): Promise<number> {
  if (!existsSync(file)) throw new Error(`there is no database ${file}`);
  if (existsSync(target)) throw new Error(`${target} is there already`);
  const draft = `${target}.partial`;
  // Of a backup that was cut short.
  rmSync(draft, { force: true });
  const total = statSync(file).size;
  // The copy is shorter, by what has been deleted, or longer, by what lies in the log.
  const looking = setInterval(() => told(Math.min(sizeOf(draft), total), total), LOOK_MS);
  try {
    await inThread(workerFile, file, 'VACUUM INTO ?', [draft]);
    told(total, total);
    const [verdict] = await inThread<{ integrity_check: string }>(
      workerFile,
      draft,
      'PRAGMA integrity_check',
    );
    if (verdict?.integrity_check !== 'ok')
      throw new Error(`the copy is damaged: ${verdict?.integrity_check}`);
    sync(draft);
    renameSync(draft, target);
    sync(dirname(target));
  } finally {
    clearInterval(looking);
    rmSync(draft, { force: true });
  }
  return statSync(target).size;
}

/** Sends a statement that may take long, without standing still meanwhile. */
async function inThread<Row>(
  workerFile: string,
  file: string,
  sql: string,
  parameters: string[] = [],
): Promise<Row[]> {
  const workerData = { url: readOnlyUrl(file).href, timeout: READ_TIMEOUT_MS, sql, parameters };
  const [rows] = (await once(new Worker(workerFile, { workerData }), 'message')) as [Row[]];
  return rows;
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

function sync(path: string): void {
  const descriptor = openSync(path, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
}
