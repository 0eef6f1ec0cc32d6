import { buffer } from 'node:stream/consumers';
import { CommandError, UsageError } from './command';

/**
 * A secret from standard input, without the line break behind it: on the command line it would show in the process list and
 * in the shell's history. Bytes that are not UTF-8 are refused, because a decoder that replaces them would make different
 * passwords equal.
 *
 * @throws UsageError when there is nothing to read from, CommandError for what is not UTF-8
 */
export async function readSecret(): Promise<string> {
  if (process.stdin.isTTY) {
    throw new UsageError(
      'Give the password on standard input, as in: printf %s "$PASSWORD" | npm run latchkey -- …',
    );
  }
  const bytes = await buffer(process.stdin);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '');
  } catch {
    throw new CommandError('The password on standard input is not UTF-8; the API would not take it either.');
  }
}
