import { existsSync } from 'node:fs';
import type { Config } from '../config/config';
import { CommandError } from './command';

/**
 * Sees to it that a command is about what the server uses. Where the shell lacks the server's settings, another database would be made, in
 * which nobody is signed in, and the command would say that all is done. A database of MySQL is never made.
 *
 * @throws CommandError
 */
export function requireFounded({ database, authSecret, secretFile }: Config): void {
  if (database.engine === 'sqlite' && !existsSync(database.file)) {
    throw new CommandError(
      `There is no database ${database.file}: set DATABASE_URL as the server has it, or start the server first.`,
    );
  }
  if (authSecret === undefined && secretFile !== undefined && !existsSync(secretFile)) {
    throw new CommandError(
      `There is no master secret ${secretFile}: put it back, or set AUTH_SECRET as the server has it.`,
    );
  }
}
