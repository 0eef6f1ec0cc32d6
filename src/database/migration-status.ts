import type { EntityManager } from 'typeorm';
import type { DatabaseLocation } from '../config/database-location';
import { StartError } from '../core/start-error';
import { migrations } from './migrations';
import { isMissingTable, openReadOnly, type ReadOnlyView } from './read-only-view';
import { select } from './sql';

/** Migrations by name, in their order. */
export interface MigrationStatus {
  applied: string[];
  /** The next start, or `migrate up`, applies them. */
  pending: string[];
  /** Applied by a newer release, which this one does not know. */
  unknown: string[];
}

/** As TypeORM writes them down when it has run them. */
const KNOWN = migrations.map(({ name }) => name);

const DONE = 'SELECT name FROM migrations ORDER BY id';

/** What has been done to a schema and what is left to be done. Without a database everything is. */
export async function readMigrationStatus(view: ReadOnlyView | undefined): Promise<MigrationStatus> {
  return statusAfter(view ? await readDone(view) : []);
}

/**
 * The same of a database that is not open, which is looked at and left as it is.
 *
 * @throws StartError when it cannot be reached, opened or read
 */
export async function migrationStatusAt(location: DatabaseLocation): Promise<MigrationStatus> {
  const view = await openReadOnly(location);
  try {
    return await readMigrationStatus(view);
  } catch (error) {
    throw new StartError(
      `The migrations cannot be read (${(error as Error).message}); check the rights of the database's user, and that DATABASE_URL names the database of the server.`,
      error,
    );
  } finally {
    await view?.close();
  }
}

/**
 * Whether migrations of this release have not been run on the database, as when it has been restored from a backup under a
 * running service. Those of later releases that have been run do not matter: they only add.
 */
export async function hasPendingMigrations(tx: EntityManager): Promise<boolean> {
  return statusAfter(await select<{ name: string }>(tx, DONE, [])).pending.length > 0;
}

function statusAfter(rows: { name: string }[]): MigrationStatus {
  const done = rows.map(({ name }) => name);
  return {
    applied: KNOWN.filter((name) => done.includes(name)),
    pending: KNOWN.filter((name) => !done.includes(name)),
    unknown: done.filter((name) => !KNOWN.includes(name)),
  };
}

async function readDone(view: ReadOnlyView): Promise<{ name: string }[]> {
  try {
    return await view.rows<{ name: string }>(DONE);
  } catch (error) {
    if (isMissingTable(error)) return [];
    throw error;
  }
}
