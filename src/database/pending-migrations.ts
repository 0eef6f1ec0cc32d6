import type { EntityManager } from 'typeorm';
import { migrations } from './migrations';
import { select } from './sql';

/** As TypeORM writes them down when it has run them. */
const NAMES = migrations.map(({ name }) => name);

/**
 * Whether migrations of this release have not been run on the database, as when it has been restored from a backup under a
 * running service. Those of later releases that have been run do not matter: they only add.
 */
export async function hasPendingMigrations(tx: EntityManager): Promise<boolean> {
  const done = await select<{ name: string }>(tx, 'SELECT name FROM migrations', []);
  const names = new Set(done.map(({ name }) => name));
  return NAMES.some((name) => !names.has(name));
}
