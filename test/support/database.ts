import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';

/** An empty database for one test file, on the engine that DATABASE_URL names. */
export interface TestDatabase {
  /** As the setting DATABASE_URL. */
  url: string;
  drop(): Promise<void>;
}

/** Whether the suite runs on MySQL or MariaDB: DATABASE_URL names a server on which databases may be made. */
export const onMysql = process.env['DATABASE_URL']?.startsWith('mysql:') ?? false;

export async function createDatabase(): Promise<TestDatabase> {
  return onMysql ? createMysqlDatabase(process.env['DATABASE_URL'] as string) : createSqliteFile();
}

async function createMysqlDatabase(serverUrl: string): Promise<TestDatabase> {
  const name = `latchkey_test_${process.pid}_${randomBytes(4).toString('hex')}`;
  const url = new URL(serverUrl);
  const onServer = async (statement: string): Promise<void> => {
    const connection = await createConnection({
      host: url.hostname,
      port: Number(url.port || 3306),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
    });
    await connection.query(statement);
    await connection.end();
  };
  await onServer(`CREATE DATABASE ${name}`);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => onServer(`DROP DATABASE ${name}`) };
}

function createSqliteFile(): TestDatabase {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-test-'));
  return {
    url: `sqlite:${join(folder, 'auth.sqlite')}`,
    drop: () => Promise.resolve(rmSync(folder, { recursive: true })),
  };
}
