import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { SqliteConnection } from '../../src/database/sqlite-connection';

/** An empty database for one test file, on the engine that DATABASE_URL names. */
export interface TestDatabase {
  /** As the setting DATABASE_URL. */
  url: string;
  /** Looks into it from the outside, on a connection of its own. */
  rows<Row = Record<string, unknown>>(sql: string): Promise<Row[]>;
  drop(): Promise<void>;
}

/** Whether the suite runs on MySQL or MariaDB: DATABASE_URL names a server on which databases may be made. */
export const onMysql = process.env['DATABASE_URL']?.startsWith('mysql:') ?? false;

export async function createDatabase(): Promise<TestDatabase> {
  return onMysql ? createMysqlDatabase(process.env['DATABASE_URL'] as string) : createSqliteFile();
}

/** On the server that is named, which need not be the one of the run. */
export async function createMysqlDatabase(serverUrl: string): Promise<TestDatabase> {
  const name = `latchkey_test_${process.pid}_${randomBytes(4).toString('hex')}`;
  const url = new URL(serverUrl);
  const onServer = async (statement: string, database?: string): Promise<unknown> => {
    const connection = await createConnection({
      host: url.hostname,
      port: Number(url.port || 3306),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      ...(database !== undefined && { database }),
    });
    const [result] = await connection.query(statement);
    await connection.end();
    return result;
  };
  await onServer(`CREATE DATABASE ${name}`);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    rows: <Row>(sql: string) => onServer(sql, name) as Promise<Row[]>,
    drop: async () => void (await onServer(`DROP DATABASE ${name}`)),
  };
}

function createSqliteFile(): TestDatabase {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-test-'));
  const file = join(folder, 'auth.sqlite');
  return {
    url: `sqlite:${file}`,
    rows: <Row>(sql: string) => {
      const connection = new SqliteConnection(file);
      const rows = connection.prepare(sql).all() as Row[];
      connection.close();
      return Promise.resolve(rows);
    },
    drop: () => Promise.resolve(rmSync(folder, { recursive: true })),
  };
}
