import { EventEmitter, once } from 'node:events';
import { Socket } from 'node:net';
import { join } from 'node:path';
import timers, { setTimeout as delay } from 'node:timers/promises';
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import { DataSource, type DataSourceOptions, type MigrationInterface, type QueryRunner } from 'typeorm';
import { loadConfig } from '../src/config/load-config';
import { createLog } from '../src/core/log';
import { dataSourceOptions } from '../src/database/data-source-options';
import { LOCK_NAME, migrate } from '../src/database/migrate';
import { migrations } from '../src/database/migrations';
import { openDatabase, prepareDatabase } from '../src/database/open-database';
import { SqliteConnection } from '../src/database/sqlite-connection';
import { entities } from '../src/entities';
import { MASTER_SECRET } from './support/app';
import { createDatabase, onMysql, type TestDatabase } from './support/database';
import { holdMigrations } from './support/held-migrations';
import { nameOf, schemaOf, statementsOf, tablesAfter, writeRow } from './support/schemas';
import { Program, settingsFor, startServer } from './support/server-process';
import { type Cut, TcpProxy } from './support/tcp-proxy';
import { longFaults } from './support/thoroughness';

/** Only there does a statement that was executed outlive its migration. */
const describeOnMysql = onMysql ? describe : () => undefined;

/** Only there are all migrations one transaction. */
const describeOnSqlite = onMysql ? () => undefined : describe;

/** Only there is a whole file locked by whoever writes. */
const itOnSqlite = onMysql ? () => undefined : it;

/** Only there do those who migrate take turns by a lock with a name. */
const itOnMysql = onMysql ? it : () => undefined;

let database: TestDatabase;
beforeEach(async () => (database = await createDatabase()));
afterEach(() => database.drop());

const locationOf = (url: string) => loadConfig({ DATABASE_URL: url, AUTH_SECRET: MASTER_SECRET }).database;

const options = (url = database.url): Promise<DataSourceOptions> => {
  const location = locationOf(url);
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

/** As every start does, with what it says when it fails. */
const start = (url = database.url) => prepareDatabase(locationOf(url));

/** Migrates as a release that has so many migrations. */
const migrateTo = async (known: number, url?: string) =>
  migrate({ ...(await options(url)), migrations: migrations.slice(0, known) });

/** What there is where nothing has gone wrong. Made once: it takes its time. */
let undisturbed: Record<string, string>;
beforeAll(async () => {
  const other = await createDatabase();
  await migrate(await options(other.url));
  undisturbed = await schemaOf(other);
  await other.drop();
}, 60_000);

const applied = async (): Promise<string[]> =>
  (await database.rows<{ name: string }>('SELECT name FROM migrations ORDER BY id')).map(({ name }) => name);

const NAMES = migrations.map(({ name }) => name);

describe('migrations', () => {
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

    expect(await applied()).toEqual(NAMES);
  });

  itOnSqlite('wait for another process that writes to the file, and are run when it has', async () => {
    const other = new SqliteConnection(database.url.slice('sqlite:'.length));
    other.exec('BEGIN IMMEDIATE');
    const running = migrateTo(NAMES.length);
    // It has been told to wait, several times.
    await delay(300);
    other.exec('ROLLBACK');
    other.close();

    await running;

    expect(await applied()).toEqual(NAMES);
  });

  itOnSqlite('wait a minute for it, and say then whom they have waited for', async () => {
    const other = new SqliteConnection(database.url.slice('sqlite:'.length));
    other.exec('BEGIN IMMEDIATE');
    const waits = jest.spyOn(timers, 'setTimeout').mockResolvedValue(undefined);

    await expect(start()).rejects.toThrow(
      /^Another process has been writing to the database file .*wait for it/,
    );
    const waited = waits.mock.calls.reduce((sum, [milliseconds = 0]) => sum + milliseconds, 0);
    waits.mockRestore();
    other.close();

    expect(waited).toBeGreaterThan(59_000);
    expect(waited).toBeLessThan(61_000);
  });

  itOnMysql(
    'take turns by a lock whose name the server takes, however long that of the database is',
    async () => {
      const name = 'latchkey_test_'.padEnd(64, 'x');
      await database.rows(`CREATE DATABASE ${name}`);
      const url = new URL(database.url);
      url.pathname = `/${name}`;
      const long = await createConnection(url.href);
      try {
        await Promise.all([start(url.href), start(url.href)]);

        const ask = `SELECT CHAR_LENGTH(${LOCK_NAME}) AS length, (SELECT COUNT(*) FROM migrations) AS migrations`;
        const [[row]] = await long.query<RowDataPacket[]>(ask);
        expect(row).toEqual({ length: 'latchkey:'.length + 40, migrations: NAMES.length });
      } finally {
        await long.query(`DROP DATABASE ${name}`);
        await long.end();
      }
    },
  );

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

/** How a statement begins, up to where it is laid out in lines. */
const beginningOf = (sql: string): string =>
  sql.startsWith('CREATE TABLE') ? `${sql.split(' (')[0]} (` : sql;

/** Where a process is killed: at every statement in the long run, at one of each kind in the short one. */
async function deadlyStatements(): Promise<string[]> {
  if (!longFaults) return ['CREATE TABLE sessions (', 'CREATE INDEX ix_sessions_user', 'INTO audit_chain'];
  const type = onMysql ? 'mariadb' : 'better-sqlite3';
  const all: string[] = [];
  for (const Migration of migrations) all.push(...(await statementsOf(new Migration(), type)));
  return all.map(beginningOf);
}

/** A migration that fails at one of its statements, before that is done or after, and what it is called by. */
function failingAt(
  Migration: (typeof migrations)[number],
  statement: number,
  moment: 'before' | 'after',
): new () => MigrationInterface {
  class Failing extends Migration {
    override async up(runner: QueryRunner): Promise<void> {
      let count = 0;
      const query = async (sql: string) => {
        count += 1;
        if (count === statement && moment === 'before') throw new Error('cut short');
        await runner.query(sql);
        if (count === statement) throw new Error('cut short');
      };
      await super.up({ query, dataSource: runner.dataSource } as unknown as QueryRunner);
    }
  }
  return Object.defineProperty(Failing, 'name', { value: Migration.name });
}

describe('a start', () => {
  /** What it logs, line by line, and who hears each at once. */
  const logOfStart = async (heard: () => void = () => undefined): Promise<Record<string, unknown>[]> => {
    const lines: Record<string, unknown>[] = [];
    const write = (line: string) => {
      lines.push(JSON.parse(line) as Record<string, unknown>);
      heard();
    };
    const log = createLog('info', { write });
    const dataSource = await openDatabase(locationOf(database.url), entities, log);
    await dataSource.destroy();
    return lines;
  };

  it('says of each migration of an update that it begins with it', async () => {
    await migrateTo(2);

    const [updated, again] = [await logOfStart(), await logOfStart()];

    expect(updated.map(({ level, msg, migration }) => [level, msg, migration])).toEqual(
      NAMES.slice(2).map((name) => ['info', 'migrating', name]),
    );
    expect(again).toEqual([]);
  });

  it('says once that it waits for another that migrates, and goes on when that is through', async () => {
    const other = await holdMigrations(database);
    const writing = new EventEmitter();
    const starting = logOfStart(() => writing.emit('line'));
    await once(writing, 'line');
    // Long enough for it to look again.
    await delay(1_500);
    await other.release();

    const lines = await starting;

    expect(lines.map(({ level, msg }) => [level, msg])).toEqual([
      ['info', expect.stringMatching(/^Waiting for another process/)],
    ]);
    expect(await applied()).toEqual(NAMES);
  }, 20_000);

  it('is told by the command too, which says that it has applied what it has applied itself', async () => {
    const other = await holdMigrations(database);
    const command = [join('scripts', 'start.mjs'), 'latchkey', 'migrate', 'up', '--json'];
    const commands = [0, 1].map(() => new Program(command, settingsFor(database)));
    await Promise.all(commands.map((each) => each.says(/Waiting for another process/, 'stderr')));
    await other.release();

    const codes = await Promise.all(commands.map((each) => each.exit()));

    const lists = commands.map(({ stdout }) => (JSON.parse(stdout) as { applied: string[] }).applied);
    expect(codes).toEqual([0, 0]);
    expect(lists.sort((a, b) => a.length - b.length)).toEqual([[], NAMES]);
  }, 60_000);

  itOnMysql('has the kernel ask after ten seconds of silence whether the server is still there', async () => {
    const asked = jest.spyOn(Socket.prototype, 'setKeepAlive');

    await start();

    const after = asked.mock.calls.map(([, milliseconds]) => milliseconds);
    asked.mockRestore();
    expect(after.length).toBeGreaterThan(0);
    expect(new Set(after)).toEqual(new Set([10_000]));
  });

  it('makes a new database without a word', async () => {
    expect(await logOfStart()).toEqual([]);
    expect(await applied()).toEqual(NAMES);
  });
});

describe('a migration', () => {
  it('is refused in words where another application has a table of that name', async () => {
    await database.rows('CREATE TABLE users (id integer)');

    await expect(start()).rejects.toThrow(/table '?users'?.* (other|own) .*DATABASE_URL/);
    expect(Object.keys(await schemaOf(database))).not.toContain('sessions');
  });
});

describe('a migration that is cut short', () => {
  it('goes on at the next start, whichever statement it fails at, and ends in the same schema', async () => {
    const type = onMysql ? 'mariadb' : 'better-sqlite3';
    for (const [index, Migration] of migrations.entries()) {
      const earlier = migrations.slice(0, index);
      const statements = await statementsOf(new Migration(), type);
      for (const number of statements.keys()) {
        for (const moment of ['before', 'after'] as const) {
          const failing = [...earlier, failingAt(Migration, number + 1, moment)];
          await expect(migrate({ ...(await options()), migrations: failing })).rejects.toThrow('cut short');
        }
      }
      await migrateTo(index + 1);
    }

    expect(await applied()).toEqual(NAMES);
    expect(await schemaOf(database)).toEqual(undisturbed);
  }, 120_000);
});

describeOnSqlite('a migration on SQLite that is cut short', () => {
  it('leaves nothing behind when its process is killed, and the next start does it from the beginning', async () => {
    for (const statement of await deadlyStatements()) {
      const program = new Program([join('scripts', 'start.mjs'), 'main'], {
        ...settingsFor(database),
        NODE_OPTIONS: `--require ${join(__dirname, 'support', 'killed-at-statement.cjs')}`,
        KILLED_AT: statement,
      });

      expect([statement, await program.exit()]).toEqual([statement, null]);
      expect([statement, await schemaOf(database)]).toEqual([statement, {}]);
    }

    const server = await startServer(settingsFor(database));

    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
    server.signal('SIGTERM');
    expect(await server.exit()).toBe(0);
    expect(await applied()).toEqual(NAMES);
    expect(await schemaOf(database)).toEqual(undisturbed);
  }, 240_000);
});

describeOnMysql('a migration on MySQL of a table that somebody reads in an open transaction', () => {
  const connect = async () => {
    const connection = await createConnection(database.url);
    // Longer than it waits, and no longer than anybody waits for an answer.
    await connection.query('SET SESSION lock_wait_timeout = 3');
    return connection;
  };
  const isHeldUp = async () =>
    (
      await database.rows(
        "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'ALTER TABLE sessions%'",
      )
    ).length > 0;

  let reader: Connection;
  let others: Connection;
  beforeEach(async () => {
    await migrateTo(1);
    [reader, others] = [await connect(), await connect()];
    await reader.query('START TRANSACTION');
    await reader.query('SELECT id FROM sessions');
  });
  afterEach(async () => {
    for (const connection of [reader, others]) await connection.end();
  });

  it('waits for the end of that, and keeps nobody else from the table', async () => {
    const running = migrateTo(2);
    while (!(await isHeldUp())) await delay(10);

    for (let calls = 0; calls < 5; calls += 1) {
      await others.query('SELECT id FROM sessions');
      while (!(await isHeldUp())) await delay(10);
    }
    await reader.query('COMMIT');
    await running;

    expect(await applied()).toEqual(NAMES.slice(0, 2));
  });

  it('is given up when the process is told to stop, and goes on at the next start', async () => {
    const stop = new AbortController();
    const running = migrate({ ...(await options()), migrations: migrations.slice(0, 2) }, stop.signal);
    while (!(await isHeldUp())) await delay(10);

    stop.abort(new Error('told to stop'));

    await expect(running).rejects.toThrow('told to stop');
    await reader.query('COMMIT');
    await migrateTo(NAMES.length);
    expect(await schemaOf(database)).toEqual(undisturbed);
  });
});

describeOnMysql('a migration on MySQL that is cut short', () => {
  let proxy: TcpProxy;
  beforeEach(async () => (proxy = await TcpProxy.to(Number(new URL(database.url).port))));
  afterEach(() => proxy.close());

  const byProxy = (): string => proxy.leadingTo(database.url);

  /** Whatever the server is told while a migration is under way by which something is written down. */
  const wordsOf = async (Migration: (typeof migrations)[number]): Promise<string[]> => {
    const statements = await statementsOf(new Migration(), 'mariadb');
    return [
      'CREATE TABLE IF NOT EXISTS migration_under_way',
      ...statements.flatMap((sql, index) => [`VALUES ('${Migration.name}', ${index + 1})`, beginningOf(sql)]),
      'DELETE FROM migration_under_way',
      '`migrations`(`timestamp`',
      'COMMIT',
    ];
  };

  const cutsOf = async (Migration: (typeof migrations)[number]): Promise<Cut[]> =>
    (await wordsOf(Migration)).flatMap((at) => [
      { at, heard: false },
      { at, heard: true },
    ]);

  /** A row in every table that the latest of so many migrations has made. */
  const fill = (known: number) =>
    withDataSource(async (dataSource) => {
      const before = await tablesAfter(known - 1);
      const made = (await tablesAfter(known)).filter((name) => !before.includes(name));
      const runner = dataSource.createQueryRunner();
      const tables = await runner.getTables(made);
      for (const name of made) {
        await writeRow(runner, tables.find((table) => nameOf(table) === name) as (typeof tables)[number]);
      }
      await runner.release();
    });

  it('goes on at the next start, whatever the connection is lost at, heard or not, and keeps every row', async () => {
    for (const [index, Migration] of migrations.entries()) {
      for (const cut of await cutsOf(Migration)) {
        const before = proxy.cuts;
        proxy.cutAt(cut);
        await migrateTo(index + 1, byProxy()).catch(() => undefined);
        expect([cut, proxy.cuts - before]).toEqual([cut, 1]);
      }
      proxy.cutAt(undefined);
      await migrateTo(index + 1, byProxy());
      await fill(index + 1);
    }

    expect(await applied()).toEqual(NAMES);
    expect(await schemaOf(database)).toEqual(undisturbed);
    expect(await database.rows('SELECT * FROM migration_under_way')).toEqual([]);
    for (const table of await tablesAfter(migrations.length)) {
      expect([table, (await database.rows(`SELECT * FROM ${table}`)).length]).toEqual([
        table,
        table === 'audit_chain' ? 2 : 1,
      ]);
    }
  }, 240_000);

  it('goes on at the next start when its process is killed in the middle of a statement', async () => {
    for (const statement of await deadlyStatements()) {
      const program = new Program(
        [join('scripts', 'start.mjs'), 'main'],
        settingsFor({ ...database, url: byProxy() }),
      );
      await new Promise<void>((resolve) => {
        proxy.overhear((chunk) => {
          if (!chunk.includes(statement)) return;
          // Killed before the statement is handed on to the server, which does not know that nobody is there any more.
          proxy.let({ delayMs: 100 });
          resolve();
        });
      });
      program.signal('SIGKILL');
      expect(await program.exit()).toBeNull();
      proxy.let({ delayMs: 0 });
    }
    const killed = await applied();

    const server = await startServer(settingsFor(database));

    expect(killed).toEqual(NAMES.slice(0, longFaults ? -1 : 2));
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
    server.signal('SIGTERM');
    expect(await server.exit()).toBe(0);
    expect(await schemaOf(database)).toEqual(undisturbed);
  }, 240_000);

  it.each([
    ['table', 0, 'CREATE TABLE users (id integer)', 'DROP TABLE users', "the table 'users'"],
    ['later table', 0, 'CREATE TABLE sessions (id integer)', 'DROP TABLE sessions', "the table 'sessions'"],
    ['view', 0, 'CREATE VIEW sessions AS SELECT 1', 'DROP VIEW sessions', "the table 'sessions'"],
    [
      'column',
      1,
      'ALTER TABLE sessions ADD COLUMN last_used_at datetime(3)',
      'ALTER TABLE sessions DROP COLUMN last_used_at',
      "the column 'last_used_at' of table 'sessions'",
    ],
    [
      'index',
      1,
      'CREATE INDEX ix_sessions_revoked ON sessions (revoked_at)',
      'DROP INDEX ix_sessions_revoked ON sessions',
      "the index 'ix_sessions_revoked' of table 'sessions'",
    ],
  ])(
    'takes nothing for its own that somebody else has made, however often it is started: a %s',
    async (_, known, made, removed, named) => {
      if (known > 0) await migrateTo(known);
      await database.rows(made);

      await expect(start()).rejects.toThrow(named);
      const refused = await schemaOf(database);
      for (const _again of [1, 2]) await expect(start()).rejects.toThrow(named);

      expect(await schemaOf(database)).toEqual(refused);
      await database.rows(removed);
      await start();
      expect(await schemaOf(database)).toEqual(undisturbed);
    },
    60_000,
  );

  it.each(['migrations', 'migration_under_way'])(
    'makes nothing where another application has a table %s',
    async (table) => {
      await database.rows(`CREATE TABLE ${table} (id integer, migration varchar(255), batch integer)`);

      await expect(start()).rejects.toThrow(`The database has a table '${table}' of another application`);

      expect(Object.keys(await schemaOf(database))).not.toContain('users');
    },
  );

  it('does not take for its own what is made where it was refused, and says what it lacks', async () => {
    const url = new URL(database.url);
    const user = "latchkey_migrator@'%'";
    await database.rows(`CREATE OR REPLACE USER ${user} IDENTIFIED BY 'kettle-lagoon-73'`);
    const rights = 'SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, REFERENCES';
    await database.rows(`GRANT ${rights} ON ${url.pathname.slice(1)}.* TO ${user}`);
    [url.username, url.password] = ['latchkey_migrator', 'kettle-lagoon-73'];

    const lacking = await start(url.href).catch((error: Error) => error.message);
    await database.rows('CREATE INDEX uq_users_username ON users (email)');

    expect(lacking).toMatch(/INDEX command denied .*; check the grants of user 'latchkey_migrator'/);
    await expect(start()).rejects.toThrow("'uq_users_username' of table 'users'");
    await database.rows(`DROP USER ${user}`);
  });
});
