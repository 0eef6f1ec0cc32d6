import { setTimeout as delay } from 'node:timers/promises';
import { callApi } from './support/call';
import { createMysqlDatabase, type TestDatabase } from './support/database';
import { bearer } from './support/instances';
import { MariadbServer } from './support/mariadb-server';
import { type Program, settingsFor, startServer } from './support/server-process';
import { TcpProxy } from './support/tcp-proxy';
import { longFaults } from './support/thoroughness';

/** Milliseconds after which the server has ended what a lost host has begun, and whoever waits for it has been served. */
const LONGEST_LOCK_MS = 8_000;

/** Milliseconds after which no connection is left but those that are always in use. */
const LONGEST_IDLE_MS = 5_000;

/** Milliseconds that a machine adds on which everything else is tested at the same time, as it is not in the long run. */
const BUSY_MACHINE_MS = longFaults ? 0 : 4_000;

const CONNECTIONS = 10;

/** Connections that the background may have in use: the poll of the feed, the sealer, the cleanup. */
const IN_THE_BACKGROUND = 3;

const PERSON = { username: 'jane.doe', password: 'nine kettles and a lantern' };

describe('a database server', () => {
  let mariadb: MariadbServer;
  let database: TestDatabase;
  let proxy: TcpProxy;
  let server: Program & { url: string };
  let token: string;
  beforeAll(async () => {
    mariadb = await MariadbServer.create();
    database = await createMysqlDatabase(mariadb.url);
    proxy = await TcpProxy.to(mariadb.port);
    const url = proxy.leadingTo(database.url);
    server = await startServer(settingsFor({ ...database, url }, { RATE_LIMITS: 'off' }));
    await call('POST', '/users', {}, { ...PERSON, email: 'jane.doe@example.com' });
    token = (await logIn()).body['token'] ?? '';
  }, 60_000);
  afterAll(async () => {
    server.signal('SIGCONT');
    server.signal('SIGTERM');
    await server.exit();
    await proxy.close();
    await mariadb.remove();
  });

  const call = (method: string, path: string, headers: Record<string, string> = {}, body?: object) =>
    callApi(server.url, method, path, headers, body);

  const logIn = () => call('POST', '/auth/login', {}, PERSON);

  /** Calls that need a connection each, so many that all connections there may be are made. */
  const crowd = async (): Promise<number[]> => {
    const calls = Array.from({ length: 30 }, () => call('GET', '/users/me', bearer(token)));
    return (await Promise.all(calls)).map(({ status }) => status);
  };

  /** Connections of the service, and those that did not end as they should. Not counted is the one that asks. */
  const connections = async (): Promise<{ open: number; aborted: number }> => {
    const open = await database.rows(
      "SELECT id FROM information_schema.processlist WHERE command <> 'Daemon' AND id <> CONNECTION_ID()",
    );
    const [aborted] = await database.rows<{ Value: string }>("SHOW GLOBAL STATUS LIKE 'Aborted_clients'");
    return { open: open.length, aborted: Number(aborted?.Value) };
  };

  const untilOpen = async (isEnough: (open: number) => boolean, milliseconds: number): Promise<void> => {
    const deadline = performance.now() + milliseconds;
    while (!isEnough((await connections()).open)) {
      expect(performance.now()).toBeLessThan(deadline);
      await delay(100);
    }
  };

  it('ends what a lost host has begun, and lets others have the account', async () => {
    proxy.cutAt({ at: 'INSERT INTO sessions', heard: 'host lost' });
    expect((await logIn()).status).toBe(503);
    proxy.cutAt(undefined);
    const lost = performance.now();

    const first = await logIn();
    while ((await logIn()).status !== 200) {
      expect(performance.now() - lost).toBeLessThan(LONGEST_LOCK_MS + BUSY_MACHINE_MS);
    }

    expect([proxy.cuts, first.status]).toEqual([1, 503]);
  }, 60_000);

  it('is told by the service which connections it does not need any more', async () => {
    // Whoever finds a connection free takes that one: where calls come in slowly, not all are made at once.
    const deadline = performance.now() + BUSY_MACHINE_MS + LONGEST_IDLE_MS;
    let before = await connections();
    while (before.open <= CONNECTIONS - IN_THE_BACKGROUND) {
      expect(performance.now()).toBeLessThan(deadline);
      expect(new Set(await crowd())).toEqual(new Set([200]));
      before = await connections();
    }

    await untilOpen((open) => open <= IN_THE_BACKGROUND, LONGEST_IDLE_MS + BUSY_MACHINE_MS);

    expect((await connections()).aborted).toBe(before.aborted);
    expect(new Set(await crowd())).toEqual(new Set([200]));
  }, 30_000);

  it('closes those of a service that stands still, which then serves whoever has come meanwhile', async () => {
    await crowd();
    await server.pause();
    const meanwhile = crowd();

    await untilOpen((open) => open === 0, 20_000);
    server.signal('SIGCONT');

    expect(new Set(await meanwhile)).toEqual(new Set([200]));
  }, 60_000);
});
