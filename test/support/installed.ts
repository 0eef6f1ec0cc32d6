import { accessSync, constants } from 'node:fs';
import { delimiter, resolve } from 'node:path';

/** Where programs are looked for. Debian keeps servers where a user's PATH does not look. */
export const PROGRAM_PATH = [process.env['PATH'], '/usr/local/sbin', '/usr/sbin'].join(delimiter);

/** Variables that name a program of their own instead of the one in the usual place. */
const NAMED_BY: Record<string, string> = { chromium: 'CHROMIUM' };

/** Debian packages that have another name than the program. */
const PACKAGES: Record<string, string> = { promtool: 'prometheus' };

/** The path of a program that can be run, if there is one. */
export function programPath(program: string): string | undefined {
  const named = process.env[NAMED_BY[program] ?? ''] ?? program;
  return PROGRAM_PATH.split(delimiter)
    .map((folder) => resolve(folder, named))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * `describe` for tests that need a program which npm does not bring. A machine with Node alone has to pass `npm test`, so they
 * are skipped where it is missing, and loudly, since what is skipped is not known to work. In CI that is a failure.
 */
export function describeWhereInstalled(program: string, what: string, tests: () => void): void {
  if (programPath(program)) return describe(what, tests);
  const variable = NAMED_BY[program];
  const remedy = `Install ${PACKAGES[program] ?? program}${variable ? `, or set ${variable}` : ''}.`;
  process.stderr.write(`\n!!! ${program} is missing, so this is NOT tested: ${what}. ${remedy}\n\n`);
  if (process.env['CI']) throw new Error(`CI must test this: ${what}. ${remedy}`);
  describe.skip(what, tests);
}
