import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { openSqliteReadOnly } from './read-only-view';

/**
 * Copies an SQLite database into a new file, as of one moment, while others go on reading and writing it. Copying the file
 * itself would miss what lies in the write-ahead log beside it.
 *
 * The copy appears whole, checked and on the disk, or not at all; what is there already is not overwritten.
 *
 * @returns its size in bytes
 * @throws Error when the target is there, the database is not, or the disk is full
 */
export function backUpSqlite(file: string, target: string): number {
  if (!existsSync(file)) throw new Error(`there is no database ${file}`);
  if (existsSync(target)) throw new Error(`${target} is there already`);
  const draft = `${target}.partial`;
  // Of a backup that was cut short.
  rmSync(draft, { force: true });
  try {
    const database = openSqliteReadOnly(file);
    try {
      database.prepare('VACUUM INTO ?').run(draft);
    } finally {
      database.close();
    }
    requireSound(draft);
    sync(draft);
    renameSync(draft, target);
    sync(dirname(target));
  } finally {
    rmSync(draft, { force: true });
  }
  return statSync(target).size;
}

function requireSound(file: string): void {
  const copy = openSqliteReadOnly(file);
  try {
    const [verdict] = copy.prepare('PRAGMA integrity_check').all() as { integrity_check: string }[];
    if (verdict?.integrity_check !== 'ok')
      throw new Error(`the copy is damaged: ${verdict?.integrity_check}`);
  } finally {
    copy.close();
  }
}

function sync(path: string): void {
  const descriptor = openSync(path, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
}
