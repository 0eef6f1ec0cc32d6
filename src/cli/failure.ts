import { ConfigError } from '../config/load-config';
import { ApiError } from '../core/errors';
import { describeError } from '../core/logged-error';
import { StartError } from '../core/start-error';
import { CommandError, UsageError } from './command';

/** Ends the process: with a sentence for what was to be expected, with everything for a defect of ours. */
export function exitWith(error: unknown, json = false): void {
  const sentence = sentenceOf(error);
  process.stderr.write(`${json ? JSON.stringify({ error: sentence }) : sentence}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}

/** What may be said of a failure to whoever is at the console. */
export function sentenceOf(error: unknown): string {
  if (error instanceof UsageError) return `${error.message} See --help.`;
  if (error instanceof ApiError) {
    return error.details?.map(({ message }) => message).join('; ') ?? `${error.message}${reasonOf(error)}.`;
  }
  const expected = [ConfigError, StartError, CommandError].some((kind) => error instanceof kind);
  return expected ? (error as Error).message : String(describeError(error).stack);
}

/** What lies underneath, as far as it may be shown: whoever is at the console can do something about a full disk. */
function reasonOf({ cause }: ApiError): string {
  let deepest = cause;
  while (deepest instanceof Error && deepest.cause !== undefined) deepest = deepest.cause;
  if (!(deepest instanceof Error)) return '';
  const { message, code } = describeError(deepest);
  return `: ${message ?? ''}${code === undefined ? '' : ` (${code})`}`;
}
