import { migrations } from './migrations';
import type { ReadOnlyView } from './read-only-view';

/** Migrations by name, in their order. */
export interface MigrationStatus {
  applied: string[];
  /** The next start, or `migrate up`, applies them. */
  pending: string[];
  /** Applied by a newer release, which this one does not know. */
  unknown: string[];
}

/** What has been done to a schema and what is left to be done. Without a database everything is. */
export async function readMigrationStatus(view: ReadOnlyView | undefined): Promise<MigrationStatus> {
  const known = migrations.map(({ name }) => name);
  const done = view && (await hasTable(view)) ? await readNames(view) : [];
  return {
    applied: known.filter((name) => done.includes(name)),
    pending: known.filter((name) => !done.includes(name)),
    unknown: done.filter((name) => !known.includes(name)),
  };
}

async function readNames(view: ReadOnlyView): Promise<string[]> {
  const rows = await view.rows<{ name: string }>('SELECT name FROM migrations ORDER BY id');
  return rows.map(({ name }) => name);
}

async function hasTable(view: ReadOnlyView): Promise<boolean> {
  try {
    await view.rows('SELECT 1 FROM migrations LIMIT 1');
    return true;
  } catch (error) {
    // Of SQLite and of MySQL.
    const { message, code } = error as { message: string; code?: string };
    if (code === 'ER_NO_SUCH_TABLE' || message.includes('no such table')) return false;
    throw error;
  }
}
