import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { PoolConnection } from 'mysql2';
import { createConnection } from 'mysql2/promise';
import type { MysqlLocation } from '../src/config/database-location';
import { loadConfig } from '../src/config/load-config';
import { connectionTo } from '../src/database/mysql-connection';
import { MysqlCredentials } from '../src/database/mysql-credentials';
import { mysqlDriver } from '../src/database/mysql-pool';
import { MASTER_SECRET, startApp, type TestApp } from './support/app';
import { createMysqlDatabase, type TestDatabase } from './support/database';
import { MariadbServer } from './support/mariadb-server';
import { startServer } from './support/server-process';

const OF_THIS_RUN = { AUTH_SECRET: MASTER_SECRET, RATE_LIMITS: 'off' };
const TOLD = 'The database refused its user: that of DATABASE_URL_FILE is used from now on';
const UNUSABLE = 'The database refused its user, and DATABASE_URL_FILE cannot be used instead';

describe('a new password of the database', () => {
  let server: MariadbServer;
  let database: TestDatabase;
  let folder: string;
  let file: string;
  let count = 80;
  /** The address with which the server lets in. */
  let good: URL;
  beforeAll(async () => {
    server = await MariadbServer.create();
    database = await createMysqlDatabase(server.url);
    folder = mkdtempSync(join(tmpdir(), 'latchkey-password-'));
    file = join(folder, 'database-url');
    good = new URL(database.url);
    [good.hostname, good.username] = ['localhost', 'latchkey'];
    await asRoot("CREATE USER latchkey@'127.0.0.1'", "GRANT ALL ON *.* TO latchkey@'127.0.0.1'");
    await changePassword();
  }, 60_000);
  afterAll(async () => {
    await server.remove();
    rmSync(folder, { recursive: true });
  });

  const asRoot = async (...statements: string[]) => {
    const connection = await createConnection(server.url);
    for (const statement of statements) await connection.query(statement);
    await connection.end();
  };

  /** What an operator does: a new password, into the file and at the server; and what the old one had opened is closed. */
  const changePassword = async ({ written = (url: URL) => url.href } = {}) => {
    good.password = `kettle-lagoon-${(count += 1)}`;
    writeFileSync(file, written(new URL(good)));
    await asRoot(`ALTER USER latchkey@'127.0.0.1' IDENTIFIED BY '${good.password}'`, 'KILL USER latchkey');
  };

  /** The statuses of a call that needs the database, the last of them the first that is no 503. */
  const statusesUntilServed = async (url: string): Promise<number[]> => {
    const statuses: number[] = [];
    do {
      if (statuses.length > 0) await delay(20);
      const response = await fetch(`${url}/api/v1/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ username: 'nobody', password: 'whatever' }),
      });
      statuses.push(response.status);
    } while (statuses.at(-1) === 503);
    return statuses;
  };

  it('is taken from its file, as often as it changes, by the process that runs', async () => {
    const program = await startServer({
      ...OF_THIS_RUN,
      ...{ PORT: '0', DATABASE_URL_FILE: file },
    });
    const told = (times: number) => new RegExp(`(${TOLD}[^]*){${times}}`);
    try {
      for (const changes of [1, 2]) {
        await changePassword();
        const statuses = await statusesUntilServed(program.url);

        // Only who is given one of the ten connections that were closed notices.
        expect(statuses.at(-1)).toBe(401);
        expect(statuses.length).toBeLessThanOrEqual(11);
        await program.says(told(changes));
      }
      expect((await fetch(`${program.url}/health/ready`)).status).toBe(200);
    } finally {
      program.signal('SIGTERM');
    }

    // The one that was started.
    expect(await program.exit()).toBe(0);
    expect(program.stdout).not.toMatch(told(3));
    expect(program.stdout).not.toContain('kettle-lagoon');
  }, 60_000);

  describe('of a running application', () => {
    let app: TestApp;
    beforeAll(async () => {
      app = await startApp(
        { ...OF_THIS_RUN, DATABASE_URL: '', DATABASE_URL_FILE: file },
        { database: { ...database, drop: () => database.search() } },
      );
    });
    afterAll(() => app.close());

    const unusable: [string, (url: URL) => string, RegExp][] = [
      ['another host', (url) => url.href.replace('localhost', '127.0.0.1'), /^It names another host/],
      ['another port', (url) => url.href.replace(/:\d+\//, ':3307/'), /^It names another host/],
      ['another database', (url) => `${url.href}2`, /^It names another host/],
      ['TLS', (url) => `${url.href}?ssl-mode=VERIFY_IDENTITY`, /^It names another host/],
      ['SQLite', () => `sqlite:${join(folder, 'auth.sqlite')}`, /^It names another host/],
      ['nothing', () => '', /^DATABASE_URL_FILE is empty: /],
      ['what is no address', (url) => url.href.replace('mysql:', 'mysql'), /^DATABASE_URL must be/],
    ];

    it.each(unusable)(
      'is not taken from a file that holds %s, and that is told once',
      async (_, written, reason) => {
        const status = async () => (await app.fetch('/api/v1/users', SIGN_UP)).status;
        app.logged.length = 0;

        await changePassword({ written });
        const refused = [await status(), await status()];
        const told = app.logged.filter(({ msg }) => msg === UNUSABLE);
        writeFileSync(file, good.href);
        const statuses = await statusesUntilServed(app.url);

        expect(refused).toEqual([503, 503]);
        expect(told).toEqual([
          expect.objectContaining({ level: 'warn', reason: expect.stringMatching(reason) as string }),
        ]);
        expect(statuses.at(-1)).toBe(401);
        expect(app.logged.filter(({ msg }) => msg === TOLD)).toHaveLength(1);
        expect(app.written.join('')).not.toContain('kettle-lagoon');
      },
    );

    it('may be that of a new user, where the old one has been locked', async () => {
      await asRoot(
        "CREATE USER successor@'127.0.0.1' IDENTIFIED BY 'kettle-lagoon-9'",
        "GRANT ALL ON *.* TO successor@'127.0.0.1'",
      );
      const successor = Object.assign(new URL(good), { username: 'successor', password: 'kettle-lagoon-9' });
      writeFileSync(file, successor.href);

      await asRoot("ALTER USER latchkey@'127.0.0.1' ACCOUNT LOCK", 'KILL USER latchkey');
      const statuses = await statusesUntilServed(app.url);
      await asRoot("ALTER USER latchkey@'127.0.0.1' ACCOUNT UNLOCK");

      expect(statuses.at(-1)).toBe(401);
      expect(statuses.length).toBeLessThanOrEqual(11);
    });
  });

  it('lets in all who were refused at once, and who waited behind them', async () => {
    await changePassword();
    const { database: location } = loadConfig({ ...OF_THIS_RUN, DATABASE_URL_FILE: file }) as {
      database: MysqlLocation;
    };
    const outdated = { ...location, password: 'kettle-lagoon-80' };
    const pool = mysqlDriver(new MysqlCredentials(outdated, undefined)).createPool({
      ...connectionTo(outdated),
      connectionLimit: 10,
    });
    const ask = promisify<PoolConnection>((callback) => pool.getConnection(callback));

    const threads = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const connection = await ask();
        connection.release();
        return connection.threadId;
      }),
    );
    await pool.promise().end();

    expect(threads).toHaveLength(30);
    expect(new Set(threads).size).toBeLessThanOrEqual(10);
  });
});

const SIGN_UP = {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({
    username: 'late.comer',
    email: 'late@example.com',
    password: 'nine brass kettles hum',
  }),
};
