import { setTimeout as delay } from 'node:timers/promises';
import { createConnection } from 'mysql2/promise';
import { loadConfig } from '../src/config/load-config';
import { prepareDatabase } from '../src/database/open-database';
import { MASTER_SECRET } from './support/app';
import { claimsOf } from './support/forgery';
import { bearer } from './support/instances';
import { MariadbServer } from './support/mariadb-server';
import { type Program, startServer } from './support/server-process';
import { TcpProxy } from './support/tcp-proxy';
import { longFaults } from './support/thoroughness';

/** Milliseconds after which the service says so, and after which it has gone on. */
const NOTICED_MS = longFaults ? 1_000 : 3_000;
const OVER_MS = longFaults ? 2_000 : 5_000;

const DATABASE = 'latchkey';
const CONNECTIONS = 10;

describe('a database server that can only be read', () => {
  let [before, after]: [MariadbServer, MariadbServer] = [] as never;
  let proxy: TcpProxy;
  let server: Program & { url: string };
  beforeAll(async () => {
    [before, after] = await Promise.all([MariadbServer.create(), MariadbServer.create()]);
    for (const each of [before, after]) {
      await on(each, `CREATE DATABASE ${DATABASE}`);
      // Who may do anything, as root may, may write to such a server as well.
      await on(each, "CREATE USER latchkey IDENTIFIED BY 'wool-barrel-19'");
      await on(each, `GRANT ALL ON ${DATABASE}.* TO latchkey`);
      await prepareDatabase(
        loadConfig({ DATABASE_URL: urlOf(each.port), AUTH_SECRET: MASTER_SECRET }).database,
      );
    }
    proxy = await TcpProxy.to(before.port);
    server = await startServer({
      DATABASE_URL: urlOf(proxy.port),
      AUTH_SECRET: MASTER_SECRET,
      PORT: '0',
      RATE_LIMITS: 'off',
    });
  }, 120_000);
  afterAll(async () => {
    server.signal('SIGTERM');
    await server.exit();
    await proxy.close();
    await Promise.all([before.remove(), after.remove()]);
  });

  const urlOf = (port: number) => `mysql://latchkey:wool-barrel-19@127.0.0.1:${port}/${DATABASE}`;

  async function on(of: MariadbServer, statement: string): Promise<unknown> {
    const connection = await createConnection(of.url);
    const [result] = await connection.query(statement);
    await connection.end();
    return result;
  }

  let count = 0;
  const signUp = async (): Promise<number> => {
    const username = `person-${(count += 1)}`;
    const response = await fetch(`${server.url}/api/v1/users`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username, email: `${username}@example.com`, password: 'nine brass kettles' }),
    });
    await response.text();
    return response.status;
  };

  const logIn = async () => {
    const response = await fetch(`${server.url}/api/v1/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: `person-${count}`, password: 'nine brass kettles' }),
    });
    const { token } = (await response.json()) as { token: string };
    return { token, sessionId: (claimsOf(token) as { sid: string }).sid };
  };

  const verified = async (token: string): Promise<number> =>
    (await fetch(`${server.url}/api/v1/auth/verify`, { headers: bearer(token) })).status;

  const signUps = (many: number) => Promise.all(Array.from({ length: many }, signUp));

  const readiness = async (): Promise<string> => {
    const response = await fetch(`${server.url}/health/ready`);
    await response.text();
    return response.headers.get('x-error-code') ?? 'ready';
  };

  const until = async (expected: string, milliseconds: number): Promise<void> => {
    const deadline = performance.now() + milliseconds;
    while ((await readiness()) !== expected) {
      expect(performance.now()).toBeLessThan(deadline);
      await delay(20);
    }
  };

  it('makes the service not ready, which says so, until it can be written to again', async () => {
    expect(new Set(await signUps(CONNECTIONS))).toEqual(new Set([201]));
    const [asked, untouched] = [await logIn(), await logIn()];
    expect([await verified(asked.token), await verified(untouched.token)]).toEqual([200, 200]);

    await on(before, 'SET GLOBAL read_only = 1');
    await until('database_read_only', NOTICED_MS);
    const during = await signUps(CONNECTIONS);
    // Nobody is told of it: only who asks the database about a token sees it.
    await on(before, `UPDATE ${DATABASE}.sessions SET revoked_at = NOW(3) WHERE id = '${asked.sessionId}'`);
    const deadline = performance.now() + NOTICED_MS;
    // What was read last is relied on for a little less than a second.
    while ((await verified(asked.token)) === 200 && performance.now() < deadline) await delay(20);
    const looked = [await verified(asked.token), await verified(untouched.token)];
    await on(before, 'SET GLOBAL read_only = 0');
    await until('ready', OVER_MS);

    expect(new Set(during)).toEqual(new Set([503]));
    expect(looked).toEqual([401, 200]);
    expect(new Set(await signUps(CONNECTIONS))).toEqual(new Set([201]));
  }, 30_000);

  it('is left for the one that has taken its place, without a restart', async () => {
    expect(new Set(await signUps(CONNECTIONS))).toEqual(new Set([201]));

    await on(before, 'SET GLOBAL read_only = 1');
    proxy.leadTo(after.port);
    const told = new Set(await signUps(CONNECTIONS));
    await until('ready', OVER_MS);

    expect([...told].filter((status) => ![201, 503].includes(status))).toEqual([]);
    // A connection to the old one may be left, of which nobody has written yet.
    let [refused, status] = [0, await signUp()];
    for (; status === 503 && refused < CONNECTIONS; status = await signUp()) refused += 1;
    expect(status).toBe(201);
    expect(
      await on(after, `SELECT username FROM ${DATABASE}.users WHERE username = 'person-${count}'`),
    ).toEqual([{ username: `person-${count}` }]);
    // None is left once all have been asked for, or have been idle.
    await until('ready', OVER_MS);
    const left = async () =>
      (await on(
        before,
        "SELECT id FROM information_schema.processlist WHERE user = 'latchkey'",
      )) as unknown[];
    const deadline = performance.now() + 2 * OVER_MS;
    while ((await left()).length > 0) {
      expect(performance.now()).toBeLessThan(deadline);
      await delay(100);
    }
    expect(new Set(await signUps(CONNECTIONS))).toEqual(new Set([201]));
  }, 60_000);
});
