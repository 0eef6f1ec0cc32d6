import { setTimeout as delay } from 'node:timers/promises';
import { DataSource, type DataSourceOptions, MigrationExecutor, type QueryRunner } from 'typeorm';
import { StartError } from '../core/start-error';
import { isBusy, isTimeout } from './failures';
import { refuseOthersTable, StepwiseMigration } from './stepwise-migration';
import { begin, discard } from './transactions';

/** Seconds to wait for another instance that is migrating. A second at a time on MySQL, to hear of a stop meanwhile. */
const LOCK_WAIT_SECONDS = 60;

/** Of the lock, as an expression: MySQL's names have 64 characters at most, of which those of databases may have all. */
export const LOCK_NAME =
  "CONCAT('latchkey:', IF(CHAR_LENGTH(DATABASE()) > 55, SHA1(DATABASE()), DATABASE()))";

/**
 * Seconds for which a statement of a migration waits, on MySQL, for whoever has read its table in a transaction that is still open.
 * Everybody else who comes to that table waits behind it meanwhile, so it gives way after each, and they are served in between.
 */
const TABLE_WAIT_SECONDS = 1;

/** Milliseconds between two looks whether another process still writes to the SQLite file. */
const BUSY_PAUSE_MS = 50;
const BUSY_TRIES = (LOCK_WAIT_SECONDS * 1_000) / BUSY_PAUSE_MS;

/** A second's worth of tries, after which the wait is reported, as on MySQL. */
const BUSY_TRIES_BEFORE_NOTICE = 1_000 / BUSY_PAUSE_MS;

/** What is said of such a wait. */
export const WAITING = 'Waiting for another process that migrates or writes to the database file';

/** Told what a start or an update is doing. */
export interface MigrationListener {
  /** A migration is begun. */
  begins(name: string): void;
  /** Another process has been in the way for a second. Told once. */
  waits(): void;
}

const NOBODY: MigrationListener = { begins: () => undefined, waits: () => undefined };

/**
 * Brings the schema up to date, on a connection of its own. What a migration consists of may take as long as it likes; all around
 * it is given up as everyday statements are, since a server that has fallen silent would hold up the start for ever. Instances that
 * start together take turns; the lock dies with the process that holds it. What was cut short goes on at the next call.
 *
 * @param stop aborted when the process is to end: what is being waited for is given up, and on MySQL no further statement is begun
 * @param listener told each migration when it is begun, and once that another process is waited for
 * @throws StartError when another instance holds the lock, or another process writes to the SQLite file, for longer than a minute,
 * somebody holds a table for longer than five, or another application's tables are in the way; the reason of `stop`
 */
export async function migrate(
  options: DataSourceOptions,
  stop?: AbortSignal,
  listener = NOBODY,
): Promise<void> {
  const dataSource = await new DataSource({ ...options, entities: [] }).initialize();
  announce(dataSource, listener);
  try {
    if (options.type === 'better-sqlite3') await migrateSqlite(dataSource, listener, stop);
    else await migrateMysql(dataSource, listener, stop);
  } finally {
    await dataSource.destroy();
  }
}

function announce(dataSource: DataSource, listener: MigrationListener): void {
  for (const migration of dataSource.migrations) {
    const up = migration.up.bind(migration);
    migration.up = (runner) => {
      listener.begins(migration.constructor.name);
      return up(runner);
    };
  }
}

/** All pending migrations are one transaction that locks writers out from its beginning. */
async function migrateSqlite(
  dataSource: DataSource,
  listener: MigrationListener,
  stop?: AbortSignal,
): Promise<void> {
  // The one runner that all of them share.
  const runner = dataSource.createQueryRunner();
  await beginWhenNobodyWrites(runner, listener, stop);
  try {
    await dataSource.runMigrations({ transaction: 'none' });
    await runner.commitTransaction();
  } catch (error) {
    await runner.rollbackTransaction();
    throw error;
  }
}

async function beginWhenNobodyWrites(
  runner: QueryRunner,
  listener: MigrationListener,
  stop?: AbortSignal,
): Promise<void> {
  // SQLite's own way of waiting holds up the whole process, which would not hear of a stop.
  await runner.query('PRAGMA busy_timeout = 0');
  for (let tries = 1; ; tries += 1) {
    stop?.throwIfAborted();
    try {
      return await begin(runner);
    } catch (error) {
      if (!isBusy(error)) throw error;
      if (tries === BUSY_TRIES_BEFORE_NOTICE) listener.waits();
      if (tries === BUSY_TRIES) {
        throw new StartError(
          'Another process has been writing to the database file for more than a minute, as a migration does; wait for it, then try again.',
          error,
        );
      }
    }
    await delay(BUSY_PAUSE_MS);
  }
}

/**
 * MySQL commits each DDL statement by itself, so a lock by name keeps the others out. The connection that holds it is the one
 * that migrates: a statement that outlives its process keeps the lock until it is through.
 */
async function migrateMysql(
  dataSource: DataSource,
  listener: MigrationListener,
  stop?: AbortSignal,
): Promise<void> {
  const runner = dataSource.createQueryRunner();
  try {
    cutOffWhenGivenUp(runner);
    await takeLock(runner, listener, stop);
    await runner.query(`SET SESSION lock_wait_timeout = ${TABLE_WAIT_SECONDS}`);
    await refuseOthersTable(runner, 'migrations', ['timestamp', 'name']);
    for (const migration of dataSource.migrations) {
      const up = migration.up.bind(migration);
      migration.up = (own) => new StepwiseMigration(migration.constructor.name, own, stop).run(up);
    }
    const executor = new MigrationExecutor(dataSource, runner);
    executor.transaction = 'each';
    await executor.executePendingMigrations();
    await runner.query(`SELECT RELEASE_LOCK(${LOCK_NAME})`);
  } finally {
    await runner.release();
  }
}

/** A statement that the driver gave up stays at the head of its connection's queue: a ROLLBACK or QUIT behind it would never be sent. */
function cutOffWhenGivenUp(runner: QueryRunner): void {
  const query = runner.query.bind(runner) as (...sent: unknown[]) => Promise<never>;
  runner.query = async (...sent: unknown[]) => {
    try {
      return await query(...sent);
    } catch (error) {
      if (isTimeout(error)) await discard(runner);
      throw error;
    }
  };
}

async function takeLock(runner: QueryRunner, listener: MigrationListener, stop?: AbortSignal): Promise<void> {
  for (let seconds = 0; seconds < LOCK_WAIT_SECONDS; seconds += 1) {
    stop?.throwIfAborted();
    const [{ granted }] = (await runner.query(`SELECT GET_LOCK(${LOCK_NAME}, 1) AS granted`)) as [
      { granted: number | string | null },
    ];
    if (Number(granted) === 1) return;
    if (seconds === 0) listener.waits();
  }
  throw new StartError(
    'Another instance has been migrating the database for more than a minute; wait for it, then start again.',
  );
}
