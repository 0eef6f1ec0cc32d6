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

/** Rows that are searched as one text: that of a million would be longer than a text may be. */
const ROWS_AT_A_TIME = 10_000;

async function dumpOf(tables: string, query: Query): Promise<string> {
  const rows: unknown[] = [];
  for (const { name } of await query<{ name: string }>(tables)) {
    rows.push(name, await query(`SELECT * FROM ${name}`));
  }
  return asText(rows);
}

/** The same in pieces of so many rows, in none of which a value is cut. */
async function* piecesOf(tables: string, query: Query): AsyncGenerator<string> {
  for (const { name } of await query<{ name: string }>(tables)) {
    let rows: unknown[] = [];
    for (let start = 0; start === 0 || rows.length === ROWS_AT_A_TIME; start += ROWS_AT_A_TIME) {
      rows = await query(`SELECT * FROM ${name} LIMIT ${ROWS_AT_A_TIME} OFFSET ${start}`);
      yield asText(rows);
    }
  }
}

/** What is binary is written as hex. */
function asText(rows: unknown[]): string {
  return JSON.stringify(rows, function (this: Record<string, unknown>, key, value: unknown) {
    const raw = this[key];
    return ArrayBuffer.isView(raw) ? Buffer.from(raw as Uint8Array).toString('hex') : value;
  });
}

/** What every test database can do, given what it can do by itself. */
function searchable(
  { tables, ...database }: Pick<TestDatabase, 'url' | 'rows'> & { tables: string },
  drop: () => Promise<unknown>,
): TestDatabase {
  const { rows } = database;
  const search = async () => {
    for await (const piece of piecesOf(tables, rows)) issued.refuseLeaks('the database', piece);
  };
  return {
    ...database,
    dump: () => dumpOf(tables, rows),
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
  return searchable({ url: url.href, rows, tables: MYSQL_TABLES }, () => onServer(`DROP DATABASE ${name}`));
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
  return searchable({ url: `sqlite:${file}`, rows, tables: SQLITE_TABLES }, () =>
    Promise.resolve(rmSync(folder, { recursive: true })),
  );
}
