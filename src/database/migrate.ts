import { DataSource, type DataSourceOptions } from 'typeorm';
import { StartError } from '../core/start-error';

/** Seconds to wait for another instance that is migrating. */
const LOCK_WAIT_SECONDS = 60;

/**
 * Brings the schema up to date, on a connection of its own, without the time limit of everyday statements. Instances that
 * start together take turns; the lock dies with the process that holds it.
 *
 * @throws StartError when another instance holds the lock for longer than a minute
 */
export async function migrate(options: DataSourceOptions): Promise<void> {
  const dataSource = await new DataSource({
    ...options,
    entities: [],
    ...(options.type === 'better-sqlite3'
      ? {}
      : { enableQueryTimeout: false, maxQueryExecutionTime: undefined }),
  }).initialize();
  try {
    if (options.type === 'better-sqlite3') await migrateSqlite(dataSource);
    else await migrateMysql(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

/** All pending migrations are one transaction that locks writers out from its beginning. */
async function migrateSqlite(dataSource: DataSource): Promise<void> {
  await dataSource.transaction(async () => {
    await dataSource.runMigrations({ transaction: 'none' });
  });
}

/** MySQL commits each DDL statement by itself, so a lock by name keeps the others out. */
async function migrateMysql(dataSource: DataSource): Promise<void> {
  const holder = dataSource.createQueryRunner();
  try {
    const [{ granted }] = (await holder.query(
      "SELECT GET_LOCK(CONCAT('latchkey:', DATABASE()), ?) AS granted",
      [LOCK_WAIT_SECONDS],
    )) as [{ granted: number | string | null }];
    if (Number(granted) !== 1) {
      throw new StartError(
        'Another instance has been migrating the database for more than a minute; wait for it, then start again.',
      );
    }
    await dataSource.runMigrations({ transaction: 'each' });
    await holder.query("SELECT RELEASE_LOCK(CONCAT('latchkey:', DATABASE()))");
  } finally {
    await holder.release();
  }
}
