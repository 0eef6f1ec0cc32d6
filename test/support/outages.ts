import { DataSource } from 'typeorm';
import { SqliteConnection } from '../../src/database/sqlite-connection';
import { Transactions } from '../../src/database/transactions';
import type { TestApp } from './app';
import { createDatabase, createMysqlDatabase, onMysql, type TestDatabase } from './database';
import { MariadbServer } from './mariadb-server';

/** Something that happens to a database, and passes. */
export interface Outage {
  name: string;
  begin(app: TestApp): unknown;
  end(app: TestApp): unknown;
  /** It cannot be brought about while the application has a transaction open. */
  onlyBetweenTransactions?: true;
}

/** A database that nobody else is using, and all that can happen to it. */
export interface FragileDatabase {
  database: TestDatabase;
  outages: Outage[];
  remove(): Promise<void>;
}

/** The names of what `fragileDatabase` brings: known before there is one. */
export const outageNames = onMysql
  ? ['is killed', 'stands still']
  : ['has lost its tables', 'is locked by another process', 'has no room left', 'can be read only'];

export async function fragileDatabase(): Promise<FragileDatabase> {
  return onMysql ? fragileServer() : fragileFile();
}

/** A server of our own, whatever server the run has been given. */
async function fragileServer(): Promise<FragileDatabase> {
  const server = await MariadbServer.create();
  const database = await createMysqlDatabase(server.url);
  return {
    database: { ...database, drop: () => database.search() },
    outages: [
      { name: 'is killed', begin: () => server.stop('SIGKILL'), end: () => server.start() },
      { name: 'stands still', begin: () => server.pause(), end: () => server.resume() },
    ],
    remove: () => server.remove(),
  };
}

async function fragileFile(): Promise<FragileDatabase> {
  const database = await createDatabase();
  const other = new SqliteConnection(database.url.slice('sqlite:'.length));
  const pragma = (app: TestApp, text: string) => connectionOf(app).pragma(text);
  return {
    database: { ...database, drop: () => Promise.resolve() },
    outages: [
      {
        name: 'has lost its tables',
        begin: (app) => renameTables(connectionOf(app), (name) => `lost_${name}`),
        // A rollback may have brought them back before.
        end: (app) => renameTables(connectionOf(app), (name) => name.replace(/^lost_/, '')),
      },
      {
        name: 'is locked by another process',
        begin: () => other.exec('BEGIN EXCLUSIVE'),
        end: () => other.exec('ROLLBACK'),
        onlyBetweenTransactions: true,
      },
      {
        name: 'has no room left',
        begin: (app) => {
          pragma(app, 'max_page_count = 1');
          fillUp(connectionOf(app));
        },
        end: (app) => {
          pragma(app, 'max_page_count = 1000000');
          connectionOf(app).exec("DELETE FROM audit_events WHERE type = 'filler'");
        },
        onlyBetweenTransactions: true,
      },
      {
        name: 'can be read only',
        begin: (app) => pragma(app, 'query_only = 1'),
        end: (app) => pragma(app, 'query_only = 0'),
      },
    ],
    remove: async () => {
      other.close();
      await database.drop();
    },
  };
}

/**
 * Does something while the application has no transaction open. On SQLite all share one connection: what is done on it inside
 * somebody's transaction, such as the sealer's, is undone together with that.
 */
export async function betweenTransactions(app: TestApp, work: () => unknown): Promise<void> {
  await app.nest.get(Transactions).read(async () => void (await work()));
}

/** The application's own connection to SQLite: what happens here happens to it. */
export function connectionOf(app: TestApp): SqliteConnection {
  return (app.nest.get(DataSource).driver as unknown as { databaseConnection: SqliteConnection })
    .databaseConnection;
}

/** Takes what room is left on the last page of the audit trail, which every change writes to. */
export function fillUp(connection: SqliteConnection): void {
  const columns = 'id, occurred_at, type, user_id, ip, request_id';
  try {
    for (let row = 0; ; row += 1) {
      connection.exec(`INSERT INTO audit_events (${columns}) VALUES ('~${row}', '', 'filler', '', '', '')`);
    }
  } catch (error) {
    if (!(error as Error).message.includes('full')) throw error;
  }
}

function renameTables(connection: SqliteConnection, rename: (name: string) => string): void {
  const tables = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all() as {
    name: string;
  }[];
  for (const { name } of tables) {
    const other = rename(name);
    if (!name.startsWith('sqlite_') && other !== name)
      connection.exec(`ALTER TABLE ${name} RENAME TO ${other}`);
  }
}
