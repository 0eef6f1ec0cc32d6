/** What is written of an error. Whatever else hangs on it is not: a database's error carries the statement and its values. */
export interface LoggedError {
  type: string;
  message?: string;
  stack?: string;
  code?: string | number;
  errno?: number;
  cause?: LoggedError;
}

/** How many errors that lie underneath one are written. */
const MOST_CAUSES = 5;

/** What only errors of databases have, and their wrappings: MySQL's, SQLite's, TypeORM's. */
const MARKS_OF_DATABASES = ['sqlState', 'sqlMessage', 'sql', 'errcode', 'driverError', 'parameters'];

/** MySQL's errors in whose words nothing is quoted but names of users, databases, tables and columns, which tell what to mend. */
const NAMES_ONLY: ReadonlySet<unknown> = new Set([1044, 1045, 1049, 1054, 1142, 1146]);

/**
 * An error as it may be written anywhere. A database quotes values in its words, such as the one that is there already or
 * is too long, and people type passwords where names belong: of those words stands here what comes before the first quotation.
 */
export function describeError(error: unknown, depth = 0): LoggedError {
  if (!(error instanceof Error)) return { type: typeof error };
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  const { errno = errcode } = error as { errno?: unknown };
  return {
    type: error.constructor.name,
    ...wordsOf(error, errno),
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    ...(typeof errno === 'number' && { errno }),
    ...(error.cause !== undefined && depth < MOST_CAUSES && { cause: describeError(error.cause, depth + 1) }),
  };
}

function wordsOf(error: Error, errno: unknown): { message: string; stack: string } {
  const { message, stack = '' } = error;
  if (!MARKS_OF_DATABASES.some((name) => name in error) || NAMES_ONLY.has(errno)) return { message, stack };
  const unquoted = beforeQuotation(message);
  // Where the message is found in the stack, the calls stand behind it.
  const behind = message === '' ? -1 : stack.lastIndexOf(message);
  const calls = behind === -1 ? '' : stack.slice(behind + message.length);
  return { message: unquoted, stack: `${error.name}: ${unquoted}${calls}` };
}

function beforeQuotation(text: string): string {
  const begin = text.search(/['"`]/);
  return begin === -1 ? text : `${text.slice(0, begin)}…`;
}
