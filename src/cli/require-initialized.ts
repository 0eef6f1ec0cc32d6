import { existsSync } from 'node:fs';
import { hasEvents } from '../audit/trail-state';
import type { Config } from '../config/config';
import { migrationStatusAt } from '../database/migration-status';
import { type Command, CommandError } from './command';

/**
 * Sees to it that a command is about what the server uses. Where the shell lacks the server's settings, another database would be
 * made, or one of somebody else be given our tables, in which nobody is signed in, and the command would say that all is done. One
 * that may initialize a database is held up by a secret only that is missing where events have been recorded.
 *
 * @throws CommandError; StartError when the database cannot be looked at
 */
export async function requireInitialized(
  { database, authSecret, secretFile }: Config,
  { mayInitialize = false }: Pick<Command, 'mayInitialize'>,
): Promise<void> {
  const hint = 'set DATABASE_URL as the server has it, or start the server first.';
  // First: it tells a file that may not be looked at from one that is not there.
  const { applied } = await migrationStatusAt(database);
  if (mayInitialize && applied.length === 0) return;
  if (database.engine === 'sqlite' && !existsSync(database.file)) {
    throw new CommandError(`There is no database ${database.file}: ${hint}`);
  }
  // A newer release has done what this one knows of as well: others' migrations alone are another application's.
  if (applied.length === 0) {
    const name = database.engine === 'sqlite' ? database.file : database.database;
    throw new CommandError(`The database ${name} is not set up for Latchkey: ${hint}`);
  }
  if (authSecret === undefined && secretFile !== undefined && !existsSync(secretFile)) {
    // As where `migrate up` was the first, which makes no secret: none can be lost.
    if (mayInitialize && !(await hasEvents(database))) return;
    throw new CommandError(
      `There is no master secret ${secretFile}: put it back, or set AUTH_SECRET as the server has it.`,
    );
  }
}
