import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { SqliteConnection } from '../../src/database/sqlite-connection';
import { issued } from './secret-watch';

/** An empty database for one test file, on the engine that DATABASE_URL names. */
export interface TestDatabase {
  /** As the setting DATABASE_URL. */
  url: string;
  /** Looks into it from the outside, on a connection of its own. */
  rows<Row = Record<string, unknown>>(sql: string): Promise<Row[]>;
  /** Every row of every table, as text. */
  dump(): Promise<string>;
  /** Fails if anything is stored that grants access. */
  search(): Promise<void>;
  /** Searches it and drops it. */
  drop(): Promise<void>;
}

/** Whether the suite runs on MySQL or MariaDB: DATABASE_URL names a server on which databases may be made. */
export const onMysql = process.env['DATABASE_URL']?.startsWith('mysql:') ?? false;

export async function createDatabase(): Promise<TestDatabase> {
  return onMysql ? createMysqlDatabase(process.env['DATABASE_URL'] as string) : createSqliteFile();
}

type Query = <Row>(sql: string) => Promise<Row[]>;

const MYSQL_TABLES =
  'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()';
const SQLITE_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'";

/** What is binary is written as hex. */
async function dumpOf(tables: string, query: Query): Promise<string> {
  const rows: unknown[] = [];
  for (const { name } of await query<{ name: string }>(tables)) {
    rows.push(name, await query(`SELECT * FROM ${name}`));
  }
  return JSON.stringify(rows, function (this: Record<string, unknown>, key, value: unknown) {
    const raw = this[key];
    return ArrayBuffer.isView(raw) ? Buffer.from(raw as Uint8Array).toString('hex') : value;
  });
}

/** What every test database can do, given what it can do by itself. */
function searchable(
  database: Pick<TestDatabase, 'url' | 'rows' | 'dump'>,
  drop: () => Promise<unknown>,
): TestDatabase {
  const search = async () => issued.refuseLeaks('the database', await database.dump());
  return {
    ...database,
    search,
    drop: async () => {
      await search().finally(drop);
    },
  };
}

/** On the server that is named, which need not be the one of the run. */
export async function createMysqlDatabase(serverUrl: string): Promise<TestDatabase> {
  // Of one length: it stands in every column of an answer, and there is a test that counts the bytes.
  const name = `latchkey_test_${String(process.pid).padStart(7, '0')}_${randomBytes(4).toString('hex')}`;
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
  const rows: Query = (sql) => onServer(sql, name) as Promise<never[]>;
  return searchable({ url: url.href, rows, dump: () => dumpOf(MYSQL_TABLES, rows) }, () =>
    onServer(`DROP DATABASE ${name}`),
  );
}

function createSqliteFile(): TestDatabase {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-test-'));
  const file = join(folder, 'auth.sqlite');
  const rows: Query = (sql) => {
    const connection = new SqliteConnection(file);
    const found = connection.prepare(sql).all();
    connection.close();
    return Promise.resolve(found as never[]);
  };
  return searchable({ url: `sqlite:${file}`, rows, dump: () => dumpOf(SQLITE_TABLES, rows) }, () =>
    Promise.resolve(rmSync(folder, { recursive: true })),
  );
}
