import { ConfigError } from '../config/load-config';
import { ApiError } from '../core/errors';
import { describeError } from '../core/logged-error';
import { StartError } from '../core/start-error';
import { CommandError, UsageError } from './command';

/** Ends the process: with a sentence for what was to be expected, with everything for a defect of ours. */
export function exitWith(error: unknown, json = false): void {
  const sentence = describe(error);
  process.stderr.write(`${json ? JSON.stringify({ error: sentence }) : sentence}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}

function describe(error: unknown): string {
  if (error instanceof UsageError) return `${error.message} See --help.`;
  if (error instanceof ApiError) {
    return error.details?.map(({ message }) => message).join('; ') ?? `${error.message}.`;
  }
  const expected = [ConfigError, StartError, CommandError].some((kind) => error instanceof kind);
  return expected ? (error as Error).message : String(describeError(error).stack);
}
