import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { endBy } from '../core/end-by-signal';
import type { Random } from '../core/random';
import { READ_TIMEOUT_MS } from './read-only-view';

/** Milliseconds between two looks at how far a copy has come. */
const LOOK_MS = 50;

/** Told how many bytes are copied, of how many; all of them while the copy is checked. */
type Told = (done: number, total: number) => void;

/**
 * Copies an SQLite database into a new file, as of one moment, while others go on reading and writing it. Copying the file
 * itself would miss what lies in the write-ahead log beside it.
 *
 * The copy appears whole, checked and on the disk, or not at all; what is there already is not overwritten, and several may be
 * made at a time. Until then it is called `TARGET.<twelve digits>.partial`, which is removed when it is cut short, unless the
 * process is killed.
 *
 * @param workerFile what a thread runs: `statement-worker.js`
 * @param random for the name of the draft
 * @returns its size in bytes
 * @throws Error when the target is there, the database is not, or the disk is full
 */
export async function backUpSqlite(
  file: string,
  target: string,
  { workerFile, random, told }: { workerFile: string; random: Random; told: Told },
): Promise<number> {
  if (!existsSync(file)) throw new Error(`there is no database ${file}`);
  if (existsSync(target)) throw new Error(isThere(target));
  const draft = `${target}.${random.bytes(6).toString('hex')}.partial`;
  const listening = onCutShort(() => discard(draft));
  const total = statSync(file).size;
  // The copy is shorter, by what has been deleted, or longer, by what lies in the log.
  const looking = setInterval(() => told(Math.min(sizeOf(draft), total), total), LOOK_MS);
  try {
    writeFileSync(draft, '', { mode: 0o600, flag: 'wx' });
    await copy(workerFile, file, draft);
    // The draft is gone then, and an empty file would be sound.
    listening.told.throwIfAborted();
    told(total, total);
    await requireSound(workerFile, draft);
    listening.told.throwIfAborted();
    sync(draft);
    giveName(draft, target);
    sync(dirname(target));
  } finally {
    clearInterval(looking);
    discard(draft);
    listening.stop();
  }
  return statSync(target).size;
}

/**
 * Opened for writing, though nothing is written, so that SQLite's locks hold. Opened as a file that nobody changes it would be copied
 * while a server that starts meanwhile writes its log back: a copy of two moments, which `integrity_check` does not notice. And
 * whoever may write also removes the log's files at the end, unless others have them open.
 */
async function copy(workerFile: string, file: string, draft: string): Promise<void> {
  try {
    await inThread(workerFile, {
      url: urlOf(file, { mode: 'rw' }),
      sql: 'VACUUM INTO ?',
      parameters: [draft],
    });
  } catch (error) {
    if (!(error as Error).message.includes('readonly database')) throw error;
    throw new Error(`${dirname(file)} cannot be written, which a copy needs while no server runs`, {
      cause: error,
    });
  }
}

async function requireSound(workerFile: string, draft: string): Promise<void> {
  // Nobody knows of the draft. Opened for writing, one that somebody has tidied away would be made anew, empty and sound.
  const url = urlOf(draft, { mode: 'ro', immutable: '1' });
  const sql = 'PRAGMA integrity_check';
  const [verdict] = await inThread<{ integrity_check: string }>(workerFile, { url, sql, parameters: [] });
  if (verdict?.integrity_check !== 'ok') throw new Error(`the copy is damaged: ${verdict?.integrity_check}`);
}

const isThere = (target: string): string => `${target} is there already`;

/** What a file system says that has no links, as of a stick or a share. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

/** Fails where the name is taken. On a file system without links an empty file has it for a moment. */
function giveName(draft: string, target: string): void {
  try {
    linkSync(draft, target);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new Error(isThere(target), { cause: error });
    if (!NO_LINKS.includes(code)) throw error;
    takeName(draft, target);
  }
}

function takeName(draft: string, target: string): void {
  closeSync(openSync(target, 'wx'));
  try {
    renameSync(draft, target);
  } catch (error) {
    rmSync(target);
    throw error;
  }
}

/** What listens for the signals by which a process is told to end. */
interface Listening {
  /** Aborted once the process has been told to end. */
  told: AbortSignal;
  /** No longer. Ends the process, if it was told to and is there still. */
  stop: () => void;
}

/**
 * Cleans up when the process is told to end, and then ends by that signal. The thread cannot be waited for: it does not listen
 * until its statement is through. Process 1 of a container waits for it all the same: no signal ends it, and it would crash if it left
 * in the middle of one.
 */
function onCutShort(cleanUp: () => void): Listening {
  const signals = ['SIGINT', 'SIGTERM'] as const;
  const told = new AbortController();
  const end = (signal: NodeJS.Signals) => {
    cleanUp();
    told.abort(signal);
    if (process.pid !== 1) endBy(signal);
  };
  for (const signal of signals) process.on(signal, end);
  return {
    told: told.signal,
    stop: () => {
      for (const signal of signals) process.off(signal, end);
      if (told.signal.aborted) endBy(told.signal.reason as NodeJS.Signals);
    },
  };
}

/** With what SQLite keeps beside it while it is written. */
function discard(draft: string): void {
  for (const file of [draft, `${draft}-journal`]) rmSync(file, { force: true });
}

function urlOf(file: string, options: Record<string, string>): URL {
  const url = pathToFileURL(file);
  for (const [name, value] of Object.entries(options)) url.searchParams.set(name, value);
  return url;
}

/** Sends a statement that may take long, without standing still meanwhile. */
async function inThread<Row>(
  workerFile: string,
  { url, ...statement }: { url: URL; sql: string; parameters: string[] },
): Promise<Row[]> {
  const workerData = { url: url.href, timeout: READ_TIMEOUT_MS, ...statement };
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
