import { DataSource } from 'typeorm';
import { loadConfig } from '../src/config/load-config';
import { dataSourceOptions } from '../src/database/data-source-options';
import { migrate } from '../src/database/migrate';
import { migrations } from '../src/database/migrations';
import { entities } from '../src/entities';
import { MASTER_SECRET } from './support/app';
import { createDatabase, type TestDatabase } from './support/database';

describe('migrations', () => {
  let database: TestDatabase;
  beforeEach(async () => (database = await createDatabase()));
  afterEach(() => database.drop());

  const options = () => {
    const { database: location } = loadConfig({ DATABASE_URL: database.url, AUTH_SECRET: MASTER_SECRET });
    return dataSourceOptions(location, entities(location.engine));
  };

  const withDataSource = async <T>(work: (dataSource: DataSource) => Promise<T>): Promise<T> => {
    const dataSource = await new DataSource(await options()).initialize();
    try {
      return await work(dataSource);
    } finally {
      await dataSource.destroy();
    }
  };

  const driftStatements = (dataSource: DataSource) =>
    dataSource.driver
      .createSchemaBuilder()
      .log()
      .then(({ upQueries }) => upQueries.map(({ query }) => query));

  it('make the schema that the entities describe', async () => {
    await migrate(await options());

    expect(await withDataSource(driftStatements)).toEqual([]);
  });

  it('would be found out if they did not', async () => {
    await migrate(await options());

    const statements = await withDataSource(async (dataSource) => {
      await dataSource.query('ALTER TABLE sessions ADD COLUMN forgotten integer');
      return driftStatements(dataSource);
    });

    expect(statements).not.toEqual([]);
  });

  it('are run by one of several that start together, and once', async () => {
    await Promise.all([migrate(await options()), migrate(await options()), migrate(await options())]);

    const applied = await withDataSource((dataSource) =>
      dataSource.query<object[]>('SELECT name FROM migrations'),
    );
    expect(applied).toHaveLength(migrations.length);
  });

  it('can be undone, one after the other, until nothing is left', async () => {
    await migrate(await options());

    const [missing, tables] = await withDataSource(async (dataSource) => {
      for (const _ of migrations) await dataSource.undoLastMigration({ transaction: 'none' });
      return [await driftStatements(dataSource), dataSource.entityMetadatas] as const;
    });

    // On SQLite a foreign key is added by way of a table of a temporary name.
    const names = missing.flatMap(
      (statement) => /^CREATE TABLE \W(?!temporary_)(\w+)/.exec(statement)?.[1] ?? [],
    );
    expect(names.sort()).toEqual(tables.map(({ tableName }) => tableName).sort());
  });
});
