import {
  DataSource,
  type DataSourceOptions,
  type MigrationInterface,
  type QueryRunner,
  type Table,
} from 'typeorm';
import { loadConfig } from '../src/config/load-config';
import { dataSourceOptions } from '../src/database/data-source-options';
import { migrate } from '../src/database/migrate';
import { migrations } from '../src/database/migrations';
import { MASTER_SECRET } from './support/app';
import { createDatabase, type TestDatabase } from './support/database';

/** What a migration sends to an engine, without an engine. */
async function statementsOf(
  migration: MigrationInterface,
  type: DataSourceOptions['type'],
): Promise<string[]> {
  const statements: string[] = [];
  const query = (sql: string) => Promise.resolve(void statements.push(sql.trim().replace(/\s+/g, ' ')));
  await migration.up({ query, dataSource: { options: { type } } } as unknown as QueryRunner);
  return statements;
}

/**
 * The statements of a migration that a release might not survive which knows nothing of it. It is a list of what is allowed:
 * new tables, with whatever belongs to them, new indexes, and new columns that may be left out.
 */
function breaking(statements: string[]): string[] {
  const created = new Set<string>();
  return statements.filter((sql) => {
    const table = /^CREATE TABLE (\w+)/.exec(sql)?.[1];
    if (table !== undefined) return void created.add(table);
    const [, unique, indexed] = /^CREATE (UNIQUE )?INDEX \w+ ON (\w+)/.exec(sql) ?? [];
    // Two rows that were welcome would not be any more.
    if (indexed !== undefined) return unique !== undefined && !created.has(indexed);
    const filled = /^INSERT INTO (\w+)/.exec(sql)?.[1];
    if (filled !== undefined) return !created.has(filled);
    const column = /^ALTER TABLE \w+ ADD COLUMN \w+ ([^,]*)$/.exec(sql)?.[1];
    if (column === undefined) return true;
    const required = /\bNOT NULL\b/.test(column) && !/\bDEFAULT\b/.test(column);
    return required || /\b(UNIQUE|PRIMARY|CHECK|REFERENCES)\b/.test(column);
  });
}

/** What the release would write into a column that has this table, in the row of that name. */
function valueFor(table: Table, name: string): string | number {
  const column = table.findColumnByName(name);
  const owner = table.foreignKeys.find(({ columnNames }) => columnNames.includes(name));
  if (owner) return `row-of-${owner.referencedTableName.split('.').at(-1)}`;
  if (/int/.test(column?.type ?? '')) return 7;
  if (column?.type === 'datetime') return '2026-03-14 09:26:53.589';
  return `row-of-${table.name.split('.').at(-1)}`.slice(0, Number(column?.length || 255));
}

describe('an older release', () => {
  it.each([
    'DROP TABLE users',
    'DROP INDEX ix_sessions_user',
    'ALTER TABLE users DROP COLUMN email',
    'ALTER TABLE users RENAME TO people',
    'ALTER TABLE users RENAME COLUMN email TO mail',
    'ALTER TABLE users MODIFY COLUMN email varchar(100)',
    'ALTER TABLE users CHANGE email email varchar(100)',
    'ALTER TABLE users ADD COLUMN phone varchar(40) NOT NULL',
    'ALTER TABLE users ADD COLUMN phone varchar(40) UNIQUE',
    'ALTER TABLE users ADD COLUMN phone varchar(40), DROP COLUMN email',
    'ALTER TABLE users ADD CONSTRAINT some CHECK (email <> username)',
    'CREATE UNIQUE INDEX uq_sessions_ip ON sessions (ip)',
    "UPDATE users SET scopes = ''",
    'DELETE FROM sessions',
    "INSERT INTO users (id) VALUES ('a')",
  ])('would not survive: %s', (sql) => {
    expect(breaking([sql])).toEqual([sql]);
  });

  it.each(['better-sqlite3', 'mysql'] as const)(
    'survives every migration on %s, since all only add',
    async (type) => {
      for (const Migration of migrations) {
        const statements = await statementsOf(new Migration(), type);

        expect(statements.length).toBeGreaterThan(0);
        expect(breaking(statements)).toEqual([]);
      }
    },
  );

  describe('on a database that a newer one has migrated', () => {
    let older: TestDatabase;
    let newest: TestDatabase;
    beforeEach(async () => ([older, newest] = [await createDatabase(), await createDatabase()]));
    afterEach(async () => {
      await older.drop();
      await newest.drop();
    });

    const optionsFor = async ({ url }: TestDatabase): Promise<DataSourceOptions> => {
      const { database } = loadConfig({ DATABASE_URL: url, AUTH_SECRET: MASTER_SECRET });
      return { ...(await dataSourceOptions(database, [])), entities: [] };
    };

    const withRunner = async <T>(
      database: TestDatabase,
      work: (runner: QueryRunner) => Promise<T>,
    ): Promise<T> => {
      const dataSource = await new DataSource(await optionsFor(database)).initialize();
      try {
        return await work(dataSource.createQueryRunner());
      } finally {
        await dataSource.destroy();
      }
    };

    /** The tables that a release knows that has so many migrations, those first that others belong to. */
    const tablesOf = async (known: number): Promise<Table[]> => {
      await migrate({ ...(await optionsFor(older)), migrations: migrations.slice(0, known) });
      const created: string[] = [];
      for (const Migration of migrations.slice(0, known)) {
        for (const sql of await statementsOf(new Migration(), 'better-sqlite3')) {
          created.push(...(/^CREATE TABLE (\w+)/.exec(sql)?.slice(1) ?? []));
        }
      }
      const tables = await withRunner(older, (runner) => runner.getTables(created));
      return created.map((name) => tables.find((table) => table.name.split('.').at(-1) === name) as Table);
    };

    it.each(migrations.slice(0, -1).map(({ name }, index) => [name, index + 1] as const))(
      'writes and finds all that it knows of, as of %s',
      async (_, known) => {
        const tables = await tablesOf(known);
        await migrate(await optionsFor(newest));

        const found = await withRunner(newest, async (runner) => {
          const counts: number[] = [];
          for (const table of tables) {
            const name = table.name.split('.').at(-1) ?? '';
            const columns = table.columns.map((column) => column.name);
            const values = columns.map((column) => valueFor(table, column));
            const places = columns.map(() => '?').join(', ');
            await runner.query(`INSERT INTO ${name} (${columns.join(', ')}) VALUES (${places})`, values);
            const where = columns.map((column) => `${column} = ?`).join(' AND ');
            const sql = `SELECT * FROM ${name} WHERE ${where}`;
            counts.push(((await runner.query(sql, values)) as unknown as unknown[]).length);
          }
          return counts;
        });

        expect(found).toEqual(tables.map(() => 1));
      },
    );
  });
});
