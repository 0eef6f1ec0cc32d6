import { createPool, type Pool, type PoolOptions } from 'mysql2';

/**
 * What every connection is told first. READ COMMITTED, so that the loser of a guarded update reads what the winner
 * wrote; strict, so that nothing is cut to fit; a lock is waited for less long than a caller waits for an answer.
 */
const SESSION_SETUP = [
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
  'SET SESSION innodb_lock_wait_timeout = 2',
];

/** The part of `mysql2` that TypeORM uses, with connections set up for us. */
export const mysqlDriver = {
  createPool(options: PoolOptions): Pool {
    const pool = createPool(options);
    pool.on('connection', (connection) => {
      for (const statement of SESSION_SETUP) {
        // A connection that refuses its setup must not serve anybody.
        connection.query(statement, (error) => error && connection.destroy());
      }
    });
    return pool;
  },
};
