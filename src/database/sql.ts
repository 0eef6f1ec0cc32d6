import type { EntityManager, QueryResult } from 'typeorm';

export type SqlValue = string | number | Date | null;

/**
 * Runs one statement that both engines understand and tells how many rows it matched: the answer to a guarded update.
 * MySQL counts matched rows, also those that already were as asked for, and so does SQLite.
 */
export async function execute(tx: EntityManager, sql: string, values: SqlValue[]): Promise<number> {
  return (await run(tx, sql, values)).affected ?? 0;
}

/** Runs one SELECT that both engines understand. Instants in the rows are as the engine gives them. */
export async function select<Row>(tx: EntityManager, sql: string, values: SqlValue[]): Promise<Row[]> {
  return (await run(tx, sql, values)).records as Row[];
}

function run(tx: EntityManager, sql: string, values: SqlValue[]): Promise<QueryResult> {
  const runner = tx.queryRunner;
  if (!runner) throw new Error('Not inside a unit of work');
  const bound = tx.dataSource.options.type === 'better-sqlite3' ? values.map(toSqlite) : values;
  return runner.query(sql, bound, true);
}

/** The form in which TypeORM keeps instants in SQLite. It sorts by time. */
function toSqlite(value: SqlValue): string | number | null {
  if (!(value instanceof Date)) return value;
  const iso = value.toISOString();
  return `${iso.slice(0, 10)} ${iso.slice(11, 23)}`;
}

/** An instant out of a row of `select`: MySQL's driver gives a Date, SQLite's the text that `toSqlite` wrote. */
export function toInstant(value: Date | string): Date {
  return value instanceof Date ? value : new Date(`${value.replace(' ', 'T')}Z`);
}

/** The engine's own time, as an expression that gives it in the form of its instants. */
export function timeOf(tx: EntityManager): string {
  return tx.dataSource.options.type === 'better-sqlite3'
    ? "strftime('%Y-%m-%d %H:%M:%f', 'now')"
    : 'UTC_TIMESTAMP(3)';
}

/**
 * Whether nobody may write to a MySQL server, as an expression that gives 1 or 0. With `super_read_only` it holds as well; newer
 * releases of MariaDB have names in the place of numbers.
 */
export const MYSQL_READ_ONLY = "(CONCAT(@@global.read_only) NOT IN ('0', 'OFF'))";

/** The same on either engine. */
export function readOnlyOf(tx: EntityManager): string {
  return tx.dataSource.options.type === 'better-sqlite3' ? '0' : MYSQL_READ_ONLY;
}

/** What time it is at the engine: for who must know while the clock cannot be relied on. */
export async function askTime(tx: EntityManager): Promise<Date> {
  const [row] = await select<{ said: Date | string }>(tx, `SELECT ${timeOf(tx)} AS said`, []);
  if (!row) throw new Error('The database does not tell the time');
  return toInstant(row.said);
}

/** What an INSERT does with a row that is there already, by its key `key`: it adds to its `column`. */
export function elseAdd(tx: EntityManager, key: string, column: string): string {
  return tx.dataSource.options.type === 'better-sqlite3'
    ? `ON CONFLICT (${key}) DO UPDATE SET ${column} = ${column} + excluded.${column}`
    : `ON DUPLICATE KEY UPDATE ${column} = ${column} + VALUES(${column})`;
}
