import { createPool, type Pool, type PoolOptions } from 'mysql2';
import { cutOff } from './mysql-connection';
import type { MysqlCredentials } from './mysql-credentials';

/**
 * Seconds of silence (`wait_timeout`) after which the server ends a connection and rolls back. Else a host that is lost before its commit
 * would hold the account's row for eight hours. As long as a transaction may take: the revocation feed looks back for a commit that was
 * held up for that long, and no longer.
 */
const LONGEST_SILENCE_SECONDS = 5;

/** Milliseconds after which the pool ends a connection that nobody has needed, looking each second: well before the server would. */
export const LONGEST_IDLE_MS = 2_000;

/** Milliseconds for each statement of the setup, which nothing else bounds where what follows may take as long as it likes, as a migration may. */
const SETUP_TIMEOUT_MS = 3_000;

/**
 * What every connection is told first. READ COMMITTED, so that the loser of a guarded update reads what the winner
 * wrote; strict, so that nothing is cut to fit; a lock, of a row or of a table's definition, is waited for less long than a caller
 * waits for an answer.
 */
const SESSION_SETUP = [
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  `SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 2, lock_wait_timeout = 2, wait_timeout = ${LONGEST_SILENCE_SECONDS}`,
];

/** The part of `mysql2` that TypeORM uses, with connections set up for us and made by whoever `credentials` names by then. */
export function mysqlDriver(credentials: MysqlCredentials) {
  return {
    createPool(options: PoolOptions): Pool {
      const { connectionLimit = 10 } = options;
      const pool = createPool({
        ...options,
        // Idle ones are looked for only where fewer may be than there may be at all. The server is told of the end: it would note
        // that it has lost somebody otherwise.
        ...{ maxIdle: connectionLimit - 1, idleTimeout: LONGEST_IDLE_MS, gracefulEnd: true },
        ...credentials.current,
      });
      pool.on('connection', (connection) => {
        // Whoever waits for an answer is told of an error by it. Nobody need: a server takes leave by one, and the driver listens once.
        connection.on('error', () => undefined);
        for (const statement of SESSION_SETUP) {
          // A connection that refuses its setup must not serve anybody.
          connection.query({ sql: statement, timeout: SETUP_TIMEOUT_MS }, (error) => {
            if (error) cutOff(connection);
          });
        }
      });
      renewWhenRefused(pool, credentials);
      return pool;
    },
  };
}

/**
 * Error numbers by which a server refuses a user or password (`ER_ACCESS_DENIED_ERROR`, `ER_DBACCESS_DENIED_ERROR`, `ER_MUST_CHANGE_PASSWORD_LOGIN`,
 * `ER_ACCOUNT_HAS_BEEN_LOCKED`, the last as MySQL and as MariaDB have it). By number: the driver does not know MariaDB's names.
 */
const REFUSALS: ReadonlySet<number | undefined> = new Set([1045, 1044, 1862, 3118, 4151]);

/** Asks once more for a connection that was refused, where user or password are others by now. */
function renewWhenRefused(pool: Pool, credentials: MysqlCredentials): void {
  const ask = pool.getConnection.bind(pool);
  // Of which each new connection takes a copy.
  const { connectionConfig } = pool.config as unknown as { connectionConfig: object };
  pool.getConnection = (callback) => {
    const asked = credentials.current;
    ask((error, connection) => {
      const refused = REFUSALS.has(error?.errno);
      // Whoever was refused at the same time may have been faster.
      if (refused && (credentials.current !== asked || credentials.renew())) {
        Object.assign(connectionConfig, credentials.current);
        ask(callback);
      } else callback(error, connection);
    });
  };
}
