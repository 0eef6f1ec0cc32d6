import type { Connection } from 'mysql2/promise';
import type { DataSourceOptions, EntitySchema, MixedList } from 'typeorm';
import type { DatabaseLocation, MysqlLocation } from '../config/database-location';
import type { Log } from '../core/log';
import { StartError } from '../core/start-error';
import { migrations } from './migrations';
import { connectAlone, connectionTo, describeRefusal, hangUp } from './mysql-connection';
import { MysqlCredentials } from './mysql-credentials';
import { mysqlDriver } from './mysql-pool';
import { QuietLogger } from './quiet-logger';
import { SqliteConnection } from './sqlite-connection';

/** Milliseconds after which a statement is given up, and its connection with it. */
const STATEMENT_TIMEOUT_MS = 3_000;

/** Milliseconds to wait for a new connection. */
const CONNECT_TIMEOUT_MS = 2_000;

/** Connections that an instance opens to MySQL at most. */
export const POOL_SIZE = 10;

/** Callers that may wait for a connection: one of the pool, or the one of SQLite. Beyond that, 503 at once. */
export const QUEUE_LIMIT = 500;

export type Entities = MixedList<(new () => object) | EntitySchema>;

/**
 * TypeORM's options for a location, the same for the application and for TypeORM's command line.
 *
 * @param log told when user or password of a MySQL server are others from now on
 * @throws StartError when the MySQL server does not let us in
 */
export async function dataSourceOptions(
  location: DatabaseLocation,
  entities: Entities,
  log?: Log,
): Promise<DataSourceOptions> {
  if (location.engine === 'sqlite') {
    return {
      type: 'better-sqlite3',
      database: location.file,
      driver: SqliteConnection,
      logger: new QuietLogger(),
      entities,
      migrations,
      migrationsTransactionMode: 'none',
    };
  }
  const { user: username, keepAliveInitialDelay, ...connection } = connectionTo(location);
  return {
    type: await askServerType(location),
    ...connection,
    username,
    driver: mysqlDriver(new MysqlCredentials(location, log)),
    logger: new QuietLogger(),
    charset: 'utf8mb4_bin',
    timezone: 'Z',
    connectTimeout: CONNECT_TIMEOUT_MS,
    poolSize: POOL_SIZE,
    // What TypeORM does not know of reaches the driver only here. Rows are few and small; nothing is gained by a parser that is
    // compiled for each statement.
    extra: { queueLimit: QUEUE_LIMIT, disableEval: true, keepAliveInitialDelay },
    enableQueryTimeout: true,
    maxQueryExecutionTime: STATEMENT_TIMEOUT_MS,
    entities,
    migrations,
    migrationsTransactionMode: 'each',
  };
}

/** MySQL or MariaDB: TypeORM reads their schemas differently, so it must know before it connects. */
async function askServerType(location: MysqlLocation): Promise<'mysql' | 'mariadb'> {
  let connection: Connection | undefined;
  try {
    connection = await connectAlone(location, CONNECT_TIMEOUT_MS);
    const asked = { sql: 'SELECT VERSION() AS version', timeout: STATEMENT_TIMEOUT_MS };
    const [rows] = await connection.query(asked);
    const [{ version }] = rows as [{ version: string }];
    return version.includes('MariaDB') ? 'mariadb' : 'mysql';
  } catch (error) {
    throw new StartError(describeRefusal(location, error as NodeJS.ErrnoException), error);
  } finally {
    if (connection) hangUp(connection);
  }
}
