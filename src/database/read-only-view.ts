import { accessSync, constants, existsSync, realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite';
import type { Connection } from 'mysql2/promise';
import type { DatabaseLocation, MysqlLocation } from '../config/database-location';
import { StartError } from '../core/start-error';
import { connectAlone, describeRefusal, hangUp } from './mysql-connection';

/** Milliseconds to wait for whoever keeps others out. */
export const READ_TIMEOUT_MS = 3_000;

/** `ER_NOT_SUPPORTED_YET`. */
const MYSQL_NOT_SUPPORTED = 1235;

/** A look at a database that changes nothing of it, and makes none where there is none. */
export interface ReadOnlyView {
  rows<Row>(sql: string): Promise<Row[]>;
  close(): Promise<void>;
}

/**
 * Opens a database as it is, without migrating it.
 *
 * @returns undefined where the SQLite file is not there yet
 * @throws StartError when it cannot be reached or opened
 */
export async function openReadOnly(location: DatabaseLocation): Promise<ReadOnlyView | undefined> {
  if (location.engine === 'mysql') return openMysql(location);
  try {
    accessSync(location.file, constants.R_OK);
    return viewOf(openSqliteReadOnly(location.file));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    const remedy = code === 'EACCES' ? 'run this as the user of the service' : 'check its permissions';
    throw new StartError(
      `The database file ${location.file} cannot be read (${message}); ${remedy}, or set DATABASE_URL.`,
      error,
    );
  }
}

/**
 * Reading a file in WAL mode makes two more beside it, unless they are there, as they are while somebody has it open, or SQLite
 * is told that nobody writes. They are beside the file itself, not beside a link to it.
 */
function readOnlyUrl(fileOrLink: string): URL {
  const file = realpathSync(fileOrLink);
  const url = pathToFileURL(file);
  if (!existsSync(`${file}-wal`)) url.searchParams.set('immutable', '1');
  return url;
}

function openSqliteReadOnly(file: string): DatabaseSyncInstance {
  const database = new DatabaseSync(readOnlyUrl(file), { readOnly: true, timeout: READ_TIMEOUT_MS });
  // Opening reads nothing yet: what is no database shows here.
  database.prepare('SELECT COUNT(*) FROM sqlite_master').get();
  return database;
}

/** Whether a view was asked for a table that is not there, as in a database that is older than the table. */
export function isMissingTable(error: unknown): boolean {
  const { message, code } = error as { message: string; code?: string };
  // Of MySQL and of SQLite.
  return code === 'ER_NO_SUCH_TABLE' || message.includes('no such table');
}

function viewOf(database: DatabaseSyncInstance): ReadOnlyView {
  return {
    rows: <Row>(sql: string) => Promise.resolve().then(() => database.prepare(sql).all() as Row[]),
    close: () => Promise.resolve(database.close()),
  };
}

async function openMysql(location: MysqlLocation): Promise<ReadOnlyView> {
  let connection: Connection | undefined;
  try {
    connection = await connectAlone(location, READ_TIMEOUT_MS);
    await forbidWriting(connection);
    return mysqlViewOf(connection);
  } catch (error) {
    if (connection) hangUp(connection);
    throw new StartError(describeRefusal(location, error as NodeJS.ErrnoException), error);
  }
}

/** A second lock: what is sent through a view only reads. By its documentation, TiDB has none to offer, and refuses. */
async function forbidWriting(connection: Connection): Promise<void> {
  try {
    await connection.query({ sql: 'SET SESSION TRANSACTION READ ONLY', timeout: READ_TIMEOUT_MS });
  } catch (error) {
    if ((error as { errno?: number }).errno !== MYSQL_NOT_SUPPORTED) throw error;
  }
}

function mysqlViewOf(connection: Connection): ReadOnlyView {
  return {
    rows: async <Row>(sql: string) => {
      const [rows] = await connection.query({ sql, timeout: READ_TIMEOUT_MS });
      return rows as Row[];
    },
    close: () => Promise.resolve(hangUp(connection)),
  };
}
