import { existsSync } from 'node:fs';
import type { Config } from '../config/config';
import { CommandError } from './command';

/**
 * Sees to it that a command is about what the server uses. Where the shell lacks the server's settings, another database with a secret of
 * its own would be made, and of that one it is true that no session stands any more.
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
