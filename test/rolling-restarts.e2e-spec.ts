import { setTimeout as delay } from 'node:timers/promises';
import { createDatabase, type TestDatabase } from './support/database';
import { describeWhereInstalled } from './support/installed';
import { bearer } from './support/instances';
import { type Ending, KeptConnection } from './support/kept-connection';
import { freePort } from './support/mariadb-server';
import { documentedBalancer, Nginx } from './support/nginx';
import { type Program, settingsFor, startServer } from './support/server-process';
import { FAULT_ROUNDS } from './support/thoroughness';

const PASSWORD = 'nine brass kettles';

/** Clients that come through the proxy, and clients that each instance has beside it. */
const THROUGH_PROXY = 6;
const DIRECT = 2;

/** Milliseconds between two requests of a client, so that a start gets on too. */
const PAUSE_MS = 25;

/** Milliseconds of silence after which an instance that stops may hang up on a client. */
const PROMISED_MS = 1_000;

describeWhereInstalled('nginx', 'two instances that are restarted in turns, under load', () => {
  let database: TestDatabase;
  let nginx: Nginx;
  let ports: number[];
  const running = new Map<number, Program & { url: string }>();
  const failures: string[] = [];
  const counts: Record<string, number> = {};
  let over = false;

  beforeAll(async () => {
    database = await createDatabase();
    ports = [await freePort(), await freePort()];
    for (const port of ports) await start(port);
    const proxy = await freePort();
    nginx = await Nginx.start(documentedBalancer(ports, proxy), proxy);
  }, 60_000);
  afterAll(async () => {
    await nginx.remove();
    for (const server of running.values()) server.signal('SIGTERM');
    for (const server of running.values()) await server.exit();
    await database.drop();
  });

  const start = async (port: number): Promise<void> => {
    const settings = { PORT: String(port), RATE_LIMITS: 'off', TRUST_PROXY: 'loopback' };
    running.set(port, await startServer(settingsFor(database, settings)));
  };

  /** As an operator does it: one, and the other when the first is back. */
  const restart = async (port: number): Promise<number | null> => {
    const server = running.get(port);
    server?.signal('SIGTERM');
    const code = (await server?.exit()) ?? null;
    await start(port);
    const ready = await fetch(`http://127.0.0.1:${port}/health/ready`);
    expect(ready.status).toBe(200);
    return code;
  };

  /** Does a request, and notes when it is lost or answered otherwise than it ought to be. */
  const expecting = async (
    what: string,
    wanted: number,
    ask: () => Promise<Ending>,
  ): Promise<Record<string, string>> => {
    counts[what] = (counts[what] ?? 0) + 1;
    const begun = performance.now();
    await delay(PAUSE_MS);
    // A client that was held up itself for that long has been promised nothing.
    const silence = performance.now() - begun;
    try {
      const ending = await ask();
      if (ending === 'away') return {};
      if (ending.status !== wanted) failures.push(`${what}: ${ending.status} ${JSON.stringify(ending.body)}`);
      return ending.body;
    } catch (error) {
      const heldUp = what.startsWith('direct') && silence > PROMISED_MS;
      if (!heldUp) failures.push(`${what}: ${(error as Error).message} after ${Math.round(silence)} ms`);
      return {};
    }
  };

  const signUp = async (name: string): Promise<void> => {
    const connection = new KeptConnection(`http://127.0.0.1:${nginx.port}`);
    const person = { username: name, email: `${name}@example.com`, password: PASSWORD };
    expect(await connection.ask('POST', '/api/v1/users', {}, person)).toMatchObject({ status: 201 });
    connection.close();
  };

  /** Signs in, looks around and refreshes, over and over. Through the proxy nothing may be missed, not even a connection. */
  const client = async (name: string): Promise<void> => {
    const connection = new KeptConnection(`http://127.0.0.1:${nginx.port}`);
    const ask = async (what: string, ...call: Parameters<KeptConnection['ask']>) => {
      return expecting(what, 200, async () => {
        const ending = await connection.ask(...call);
        if (ending === 'away') throw new Error('the proxy was away');
        return ending;
      });
    };
    while (!over) {
      let tokens = await ask(
        'login',
        'POST',
        '/api/v1/auth/login',
        {},
        { username: name, password: PASSWORD },
      );
      for (let turn = 0; turn < 5 && tokens['token'] && !over; turn += 1) {
        for (let look = 0; look < 3; look += 1) {
          await ask('verify', 'GET', '/api/v1/auth/verify', bearer(tokens['token']));
        }
        const { refreshToken } = tokens;
        tokens = await ask('refresh', 'POST', '/api/v1/auth/refresh', {}, { refreshToken });
      }
    }
    connection.close();
  };

  /** Keeps a connection to one instance, and makes it anew whenever it is told that it is over. */
  const direct = async (port: number): Promise<void> => {
    const connection = new KeptConnection(`http://127.0.0.1:${port}`);
    while (!over) {
      await expecting('direct POST', 401, () =>
        connection.ask('POST', '/api/v1/auth/refresh', {}, { refreshToken: 'none' }),
      );
      await expecting('direct GET', 200, () => connection.ask('GET', '/health/live'));
    }
    connection.close();
  };

  it(
    `lose no request in ${FAULT_ROUNDS} rounds, through nginx or without, a POST no more than a GET`,
    async () => {
      const names = Array.from({ length: THROUGH_PROXY }, (_, index) => `person-${index}`);
      for (const name of names) await signUp(name);
      const clients = [
        ...names.map(client),
        ...ports.flatMap((port) => Array.from({ length: DIRECT }, () => direct(port))),
      ];

      const codes: (number | null)[] = [];
      for (let round = 0; round < FAULT_ROUNDS; round += 1) {
        for (const port of ports) codes.push(await restart(port));
      }
      over = true;
      await Promise.all(clients);

      expect(failures.slice(0, 20)).toEqual([]);
      expect(codes).toEqual(Array(2 * FAULT_ROUNDS).fill(0));
      for (const what of ['login', 'refresh', 'verify', 'direct POST', 'direct GET']) {
        expect([what, counts[what]]).toEqual([what, expect.any(Number)]);
        expect(counts[what]).toBeGreaterThan(10 * FAULT_ROUNDS);
      }
    },
    60_000 + FAULT_ROUNDS * 30_000,
  );
});
