import { text } from 'node:stream/consumers';
import { UsageError } from './command';

/**
 * A secret from standard input, without the line break behind it: on the command line it would show in the process list and
 * in the shell's history.
 *
 * @throws UsageError when there is nothing to read from
 */
export async function readSecret(): Promise<string> {
  if (process.stdin.isTTY) {
    throw new UsageError(
      'Give the password on standard input, as in: printf %s "$PASSWORD" | npm run latchkey -- …',
    );
  }
  return (await text(process.stdin)).replace(/\r?\n$/, '');
}
