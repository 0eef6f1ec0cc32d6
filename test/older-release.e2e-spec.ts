import { DataSource, type DataSourceOptions, type QueryRunner, type Table } from 'typeorm';
import { loadConfig } from '../src/config/load-config';
import { dataSourceOptions } from '../src/database/data-source-options';
import { migrate } from '../src/database/migrate';
import { migrations } from '../src/database/migrations';
import { MASTER_SECRET } from './support/app';
import { createDatabase, type TestDatabase } from './support/database';
import { nameOf, schemaOf, statementsOf, tablesAfter, valueFor, writeRow } from './support/schemas';

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
    let newest: TestDatabase;
    let runner: QueryRunner;
    /** The tables that a release knows of that has so many migrations, those first that others belong to. */
    const known: Table[][] = [];

    const optionsFor = async ({ url }: TestDatabase): Promise<DataSourceOptions> => {
      const { database } = loadConfig({ DATABASE_URL: url, AUTH_SECRET: MASTER_SECRET });
      return { ...(await dataSourceOptions(database, [])), entities: [] };
    };

    const open = async (database: TestDatabase) =>
      (await new DataSource(await optionsFor(database)).initialize()).createQueryRunner();

    beforeAll(async () => {
      const older = await createDatabase();
      for (let count = 1; count <= migrations.length; count += 1) {
        await migrate({ ...(await optionsFor(older)), migrations: migrations.slice(0, count) });
        const names = await tablesAfter(count);
        const reader = await open(older);
        const tables = await reader.getTables(names);
        known[count] = names.map((name) => tables.find((table) => nameOf(table) === name) as Table);
        await reader.dataSource.destroy();
      }
      await older.drop();
      newest = await createDatabase();
      await migrate(await optionsFor(newest));
      runner = await open(newest);
    }, 120_000);
    afterAll(async () => {
      await runner.dataSource.destroy();
      await newest.drop();
    });

    const older = migrations.slice(0, -1).map(({ name }, index) => [name, index + 1] as const);

    const columnsOf = (table: Table) => table.columns.map(({ name }) => name);

    /** How many rows have just these values in the columns of `table`: as a release finds them that knows no others. */
    const count = async (table: Table, values: Record<string, string | number>): Promise<number> => {
      const columns = Object.keys(values);
      const where = columns.map((column) => `${column} = ?`).join(' AND ');
      const sql = `SELECT ${columnsOf(table).join(', ')} FROM ${nameOf(table)} WHERE ${where}`;
      return ((await runner.query(sql, Object.values(values))) as unknown[]).length;
    };

    const valuesOf = (table: Table, columns: string[], suffix: string) =>
      Object.fromEntries(columns.map((column) => [column, valueFor(table, column, suffix)]));

    const keyOf = (table: Table, suffix: string) =>
      valuesOf(
        table,
        table.primaryColumns.map(({ name }) => name),
        suffix,
      );

    const remove = (table: Table, suffix: string) =>
      runner.query(
        `DELETE FROM ${nameOf(table)} WHERE ${Object.keys(keyOf(table, suffix)).join(' = ? AND ')} = ?`,
        Object.values(keyOf(table, suffix)),
      );

    it.each(older)(
      'writes and finds, changes and removes all that it knows of, as of %s, and leaves the rest of a row alone',
      async (_, release) => {
        const tables = known[release] as Table[];
        const today = known[migrations.length] as Table[];
        const ofToday = (table: Table) =>
          today.find(({ name }) => nameOf({ name } as Table) === nameOf(table)) as Table;
        for (const table of tables) await writeRow(runner, table, '-own');
        for (const table of today) await writeRow(runner, table, '-new');

        for (const table of tables) {
          const ours = columnsOf(table);
          const unknown = columnsOf(ofToday(table)).filter((column) => !ours.includes(column));
          const fixed = [
            ...table.primaryColumns.map(({ name }) => name),
            ...table.foreignKeys.flatMap(({ columnNames }) => columnNames),
          ];
          const free = ours.filter((column) => !fixed.includes(column));
          for (const suffix of ['-own', '-new']) {
            expect([nameOf(table), await count(table, valuesOf(table, ours, suffix))]).toEqual([
              nameOf(table),
              1,
            ]);

            const changed = valuesOf(table, free, `${suffix}-2`);
            const set = free.map((column) => `${column} = ?`).join(', ');
            const where = Object.keys(keyOf(table, suffix))
              .map((column) => `${column} = ?`)
              .join(' AND ');
            await runner.query(`UPDATE ${nameOf(table)} SET ${set} WHERE ${where}`, [
              ...Object.values(changed),
              ...Object.values(keyOf(table, suffix)),
            ]);

            const kept = suffix === '-new' ? valuesOf(ofToday(table), unknown, suffix) : {};
            const found = await count(table, { ...keyOf(table, suffix), ...changed, ...kept });
            expect([nameOf(table), found]).toEqual([nameOf(table), 1]);
          }
        }

        // An account goes with all that belongs to it, whoever has written that; everything else by itself.
        const users = tables.find((table) => nameOf(table) === 'users') as Table;
        for (const suffix of ['-own', '-new']) await remove(users, suffix);
        for (const table of tables) {
          const left = table.foreignKeys.length > 0 || table === users ? 0 : 1;
          for (const suffix of ['-own', '-new']) {
            expect([nameOf(table), await count(table, keyOf(table, suffix))]).toEqual([nameOf(table), left]);
            await remove(table, suffix);
            expect(await count(table, keyOf(table, suffix))).toBe(0);
          }
        }
        for (const table of today) await remove(table, '-new');
      },
    );

    it.each(older)('starts and changes nothing, as of %s', async (_, release) => {
      await writeRow(runner, known[migrations.length]?.[0] as Table, '-new');
      const before = [await schemaOf(newest), await newest.dump()];

      await migrate({ ...(await optionsFor(newest)), migrations: migrations.slice(0, release) });

      expect([await schemaOf(newest), await newest.dump()]).toEqual(before);
      await remove(known[migrations.length]?.[0] as Table, '-new');
    });
  });
});
