import type { DataSourceOptions, MigrationInterface, QueryRunner, Table } from 'typeorm';
import { migrations } from '../../src/database/migrations';
import { onMysql, type TestDatabase } from './database';

/** What a migration sends to an engine, without an engine. */
export async function statementsOf(
  migration: MigrationInterface,
  type: DataSourceOptions['type'],
): Promise<string[]> {
  const statements: string[] = [];
  const query = (sql: string) => Promise.resolve(void statements.push(sql.trim().replace(/\s+/g, ' ')));
  await migration.up({ query, dataSource: { options: { type } } } as unknown as QueryRunner);
  return statements;
}

/** The names of the tables that there are after so many migrations, those first that others belong to. */
export async function tablesAfter(known: number): Promise<string[]> {
  const created: string[] = [];
  for (const Migration of migrations.slice(0, known)) {
    for (const sql of await statementsOf(new Migration(), 'better-sqlite3')) {
      created.push(...(/^CREATE TABLE (\w+)/.exec(sql)?.slice(1) ?? []));
    }
  }
  return created;
}

export const nameOf = (table: Table): string => table.name.split('.').at(-1) as string;

/** What a release would write into a column that has this table, in the row that is called `suffix`. */
export function valueFor(table: Table, name: string, suffix = ''): string | number {
  const column = table.findColumnByName(name);
  const owner = table.foreignKeys.find(({ columnNames }) => columnNames.includes(name));
  if (owner) return `row-of-${owner.referencedTableName.split('.').at(-1)}${suffix}`;
  if (/int/.test(column?.type ?? ''))
    return 7 + [...Buffer.from(suffix)].reduce((sum, byte) => sum * 2 + byte, 0);
  if (column?.type === 'datetime') return '2026-03-14 09:26:53.589';
  return `row-of-${nameOf(table)}${suffix}`.slice(0, Number(column?.length || 255));
}

/** Writes a row with a value in every column that there is. */
export async function writeRow(runner: QueryRunner, table: Table, suffix = ''): Promise<void> {
  const columns = table.columns.map((column) => column.name);
  const values = columns.map((column) => valueFor(table, column, suffix));
  const places = columns.map(() => '?').join(', ');
  await runner.query(`INSERT INTO ${nameOf(table)} (${columns.join(', ')}) VALUES (${places})`, values);
}

/** Every table with all that belongs to it, as the engine writes it down itself. */
export async function schemaOf(database: TestDatabase): Promise<Record<string, string>> {
  if (!onMysql) {
    const rows = await database.rows<{ name: string; sql: string }>(
      "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name",
    );
    return Object.fromEntries(rows.map(({ name, sql }) => [name, sql]));
  }
  const tables = await database.rows<{ name: string }>(
    'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name',
  );
  const schema: Record<string, string> = {};
  for (const { name } of tables) {
    // Also shows a view.
    const [row] = await database.rows<Record<string, string>>(`SHOW CREATE TABLE ${name}`);
    schema[name] = Object.values(row ?? {})[1]?.replace(/ AUTO_INCREMENT=\d+/, '') ?? '';
  }
  return schema;
}
