import { QueryFailedError } from 'typeorm';

/** SQLite's extended result codes for a violated UNIQUE or PRIMARY KEY. */
const SQLITE_UNIQUE = new Set([2067, 1555]);
const MYSQL_DUPLICATE_ENTRY = 1062;

/** MySQL and MariaDB: deadlock. TiDB: write conflict, and its retryable form. */
const MYSQL_TRY_AGAIN = new Set([1213, 8002, 9007]);

/** MySQL and MariaDB: the user may not do that with the database, the table, the column, or anything. */
const MYSQL_FORBIDDEN = new Set([1044, 1142, 1143, 1227]);

/** MySQL and MariaDB: nobody may write to this server, in this transaction, to InnoDB there, or as this member of a group. */
const MYSQL_READ_ONLY = new Set([1290, 1792, 1836, 1874, 3100]);

/** MySQL and MariaDB: somebody has had a lock, on rows or on a table's definition, for longer than was waited for it. */
const MYSQL_LOCKED = 1205;

/** SQLite's result code while another process writes; its extended codes have it in the lowest byte. */
const SQLITE_BUSY = 5;

interface DriverError {
  /** MySQL. */
  errno?: number;
  /** Of the drivers, where no server has said anything. */
  code?: string;
  /** SQLite. */
  errcode?: number;
  message: string;
}

function driverErrorOf(error: unknown): DriverError | undefined {
  return error instanceof QueryFailedError ? (error.driverError as DriverError) : undefined;
}

/** Whether a row was refused because another one has its place. */
export function isUniqueViolation(error: unknown): error is QueryFailedError {
  const driverError = driverErrorOf(error);
  return (
    driverError !== undefined &&
    (driverError.errno === MYSQL_DUPLICATE_ENTRY || SQLITE_UNIQUE.has(driverError.errcode ?? 0))
  );
}

/**
 * Whether that place is in the index `index` over `table.column`. SQLite tells the column, MySQL the index; both are
 * asked for at the end of the message, where no value that a caller chose can stand.
 */
export function violates(error: QueryFailedError, index: string, table: string, column: string): boolean {
  const message = driverErrorOf(error)?.message ?? '';
  return message.endsWith(`${table}.${column}`) || message.endsWith(`${index}'`);
}

/** Whether the engine undid the transaction and it may simply be run again. */
export function isDeadlock(error: unknown): boolean {
  return MYSQL_TRY_AGAIN.has(driverErrorOf(error)?.errno ?? 0);
}

/** Whether another process is writing to the SQLite file, and nothing has been done. */
export function isBusy(error: unknown): boolean {
  return (driverErrorOf(error)?.errcode ?? 0) % 256 === SQLITE_BUSY;
}

/** Whether somebody else holds what the statement needs on MySQL, and it has done nothing. */
export function isLocked(error: unknown): boolean {
  return driverErrorOf(error)?.errno === MYSQL_LOCKED;
}

/** Whether the driver has given the statement up. It may still be running: what its connection answers next may be its answer. */
export function isTimeout(error: unknown): boolean {
  return driverErrorOf(error)?.code === 'PROTOCOL_SEQUENCE_TIMEOUT';
}

/** Whether the user of the database lacks a right. */
export function isForbidden(error: unknown): boolean {
  return MYSQL_FORBIDDEN.has(driverErrorOf(error)?.errno ?? 0);
}

/** Whether the server can only be read, or no longer writes for us. */
export function isReadOnly(error: unknown): boolean {
  return MYSQL_READ_ONLY.has(driverErrorOf(error)?.errno ?? 0);
}

/** What who has only read finds out of the server: that it would refuse whatever writes (`ER_READ_ONLY_MODE`). */
export function readOnlyServer(): QueryFailedError {
  return new QueryFailedError(
    '',
    [],
    Object.assign(new Error('The server can only be read'), { errno: 1836 }),
  );
}
