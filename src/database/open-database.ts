import { dirname } from 'node:path';
import { DataSource, type DataSourceOptions } from 'typeorm';
import type { DatabaseLocation } from '../config/database-location';
import type { Log } from '../core/log';
import { makeFolder } from '../core/make-folder';
import { StartError } from '../core/start-error';
import { dataSourceOptions, type Entities } from './data-source-options';
import { isForbidden } from './failures';
import { migrate, type MigrationListener, WAITING } from './migrate';
import { migrations } from './migrations';

/**
 * Opens the database with its schema up to date.
 *
 * @param log told each migration of an update when it is begun, that another process is waited for, and when user or password of a MySQL server are others from now on
 * @param stop aborted when the process is to end, by a StartError
 * @throws StartError saying what to change when it cannot be reached, opened or migrated; the reason of `stop`
 */
export async function openDatabase(
  location: DatabaseLocation,
  entities: (engine: 'sqlite' | 'mysql') => Entities,
  log: Log,
  stop?: AbortSignal,
): Promise<DataSource> {
  return inWords(location, async () => {
    const options = await prepare(location, entities(location.engine), log, stop, loggingUpdates(log));
    stop?.throwIfAborted();
    const dataSource = await new DataSource(options).initialize();
    // SQLite's own way of waiting for another process holds up the whole of this one. From here on `Transactions` does the waiting.
    if (location.engine === 'sqlite') await dataSource.query('PRAGMA busy_timeout = 0');
    return dataSource;
  });
}

/** Says nothing of those that make a new database: a table without rows is changed in no time. */
function loggingUpdates(log: Log): MigrationListener {
  let isNew = false;
  return {
    begins: (name) => {
      isNew ||= name === migrations[0]?.name;
      if (!isNew) log.info({ migration: name }, 'migrating');
    },
    waits: () => log.info(WAITING),
  };
}

/**
 * Brings the schema up to date as the start does, and does no more; makes an SQLite file where there is none.
 *
 * @param listener told each migration when it is begun, and once that another process is waited for
 * @throws StartError
 */
export async function prepareDatabase(
  location: DatabaseLocation,
  listener?: MigrationListener,
): Promise<void> {
  await inWords(location, () => prepare(location, [], undefined, undefined, listener));
}

async function prepare(
  location: DatabaseLocation,
  entities: Entities,
  log: Log | undefined,
  stop?: AbortSignal,
  listener?: MigrationListener,
): Promise<DataSourceOptions> {
  if (location.engine === 'sqlite') makeFolder(dirname(location.file));
  const options = await dataSourceOptions(location, entities, log);
  await migrate(options, stop, listener);
  return options;
}

async function inWords<T>(location: DatabaseLocation, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError(describeFailure(location, error as Error), error);
  }
}

function describeFailure(location: DatabaseLocation, error: Error): string {
  const reason = error.message;
  if (location.engine === 'sqlite') {
    return `The database file ${location.file} cannot be used (${reason}); check the permissions of its folder, and that it is no other application's, or set DATABASE_URL.`;
  }
  const remedy = isForbidden(error)
    ? `check the grants of user '${location.user}', or set DATABASE_URL`
    : 'put that right and start again, which goes on where this start has stopped';
  return `The database '${location.database}' at ${location.host}:${location.port} cannot be prepared (${reason}); ${remedy}.`;
}
