import { createPool, type Pool, type PoolOptions } from 'mysql2';
import type { MysqlCredentials } from './mysql-credentials';

/**
 * What every connection is told first. READ COMMITTED, so that the loser of a guarded update reads what the winner
 * wrote; strict, so that nothing is cut to fit; a lock is waited for less long than a caller waits for an answer.
 */
const SESSION_SETUP = [
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
  'SET SESSION innodb_lock_wait_timeout = 2',
];

/** The part of `mysql2` that TypeORM uses, with connections set up for us and made by whoever `credentials` names by then. */
export function mysqlDriver(credentials: MysqlCredentials) {
  return {
    createPool(options: PoolOptions): Pool {
      const pool = createPool({ ...options, ...credentials.current });
      pool.on('connection', (connection) => {
        for (const statement of SESSION_SETUP) {
          // A connection that refuses its setup must not serve anybody.
          connection.query(statement, (error) => error && connection.destroy());
        }
      });
      renewWhenRefused(pool, credentials);
      return pool;
    },
  };
}

/**
 * With what a server refuses a user (`ER_ACCESS_DENIED_ERROR`, `ER_DBACCESS_DENIED_ERROR`, `ER_MUST_CHANGE_PASSWORD_LOGIN`,
 * `ER_ACCOUNT_HAS_BEEN_LOCKED`, the last as MySQL and as MariaDB have it). By number: the driver does not know MariaDB's names.
 */
const REFUSALS: ReadonlySet<number | undefined> = new Set([1045, 1044, 1862, 3118, 4151]);

/** Has a connection that was refused for its user or its password asked for once more, where these are others by now. */
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
