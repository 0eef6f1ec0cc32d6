import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { createConnection } from 'mysql2/promise';
import { LOCK_NAME } from '../../src/database/migrate';
import { SqliteConnection } from '../../src/database/sqlite-connection';
import { onMysql, type TestDatabase } from './database';
import type { Program } from './server-process';

/** What a descriptor of another process stands for; none, where that has closed it since it was listed. */
function openFile(descriptor: string): string | undefined {
  try {
    return readlinkSync(descriptor);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** What another instance holds while it migrates. */
export async function holdMigrations(database: TestDatabase) {
  if (!onMysql) {
    const file = database.url.slice('sqlite:'.length);
    const other = new SqliteConnection(file);
    other.exec('BEGIN IMMEDIATE');
    return {
      untilWaitedFor: async ({ pid }: Program) => {
        const opened = () =>
          readdirSync(`/proc/${pid}/fd`).some((fd) => openFile(`/proc/${pid}/fd/${fd}`) === file);
        while (!opened()) await delay(10);
      },
      release: () => {
        other.exec('ROLLBACK');
        return Promise.resolve(other.close());
      },
    };
  }
  const other = await createConnection(database.url);
  await other.query(`SELECT GET_LOCK(${LOCK_NAME}, 0)`);
  const waiting = async () =>
    (
      await database.rows(
        "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'SELECT GET_LOCK%' AND db = DATABASE()",
      )
    ).length > 0;
  return {
    untilWaitedFor: async () => {
      while (!(await waiting())) await delay(10);
    },
    release: () => other.end(),
  };
}
