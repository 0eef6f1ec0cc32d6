import { connect, type Socket } from 'node:net';
import { setImmediate, setTimeout as delay } from 'node:timers/promises';
import { BODY_LIMIT } from '../src/core/json-body';
import { MOST_SCRAPERS } from '../src/observability/metrics-server';
import { createDatabase, type TestDatabase } from './support/database';
import { freePort } from './support/mariadb-server';
import { type Program, settingsFor, startServer } from './support/server-process';

/** How often each is tried: which of two things that happen at once is first is chance. */
const TIMES = 20;

/** On the port of the metrics: fewer than it lets in at a time. */
const TIMES_MEASURED = MOST_SCRAPERS / 2;

const HOST = 'Host: x\r\n';
const get = (path: string, method = 'GET') => `${method} ${path} HTTP/1.1\r\n${HOST}\r\n`;
const login = (headers: string, body: string) =>
  `POST /api/v1/auth/login HTTP/1.1\r\n${HOST}Content-Type: application/json\r\n${headers}\r\n${body}`;

const LOGIN = {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: '{"username":"nobody","password":"what"}',
};

/** What is asked, of the API or of the port of the metrics. */
const ASKED: [name: string, bytes: string][] = [
  ['a tunnel', 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['a tunnel, and speaks into it', `CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n${'x'.repeat(100_000)}`],
  [
    'a tunnel, behind other requests',
    get('/openapi.json').repeat(3) + 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n',
  ],
  [
    'another protocol',
    `GET /openapi.json HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  ],
  ['what is not HTTP', 'HELLO\r\n\r\n'],
  ['what is not HTTP, behind other requests', `${get('/openapi.json').repeat(3)}HELLO\r\n\r\n`],
  ['something with too many headers', `GET / HTTP/1.1\r\n${HOST}X: ${'x'.repeat(20_000)}\r\n\r\n`],
  ['a path that cannot be read', get('/%zz')],
  ['something large', get('/openapi.json')],
  ['a file', get('/docs/swagger-ui-bundle.js')],
  ['the head of something large', get('/openapi.json', 'HEAD')],
  ['much at once', get('/docs/swagger-ui-bundle.js').repeat(8)],
  [
    'a login with too large a body',
    login(`Content-Length: ${BODY_LIMIT + 1}\r\n`, 'x'.repeat(BODY_LIMIT + 1)),
  ],
  ['a login with half a body', login('Content-Length: 50\r\n', '{"username":')],
  ['a login, which takes a while', login(`Content-Length: ${LOGIN.body.length}\r\n`, LOGIN.body)],
  ['what is measured', get('/metrics')],
];

/** When the connection is reset. */
const MOMENTS: Record<string, (socket: Socket) => Promise<unknown>> = {
  'before the answer': () => Promise.resolve(),
  'right before the answer': () => setImmediate(),
  'during the answer': (socket) => somethingOf(socket),
  'after the answer': (socket) => somethingOf(socket).then(() => silence(socket)),
};

/** Waits for the first bytes, or until it is over; some are asked for what never comes. */
function somethingOf(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => {
    socket.once('data', resolve).once('close', resolve);
    socket.setTimeout(100, () => resolve(undefined));
  });
}

/** Waits until no more comes. */
function silence(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => {
    socket.once('end', resolve).once('close', resolve).resume();
    socket.setTimeout(50, () => resolve(undefined));
  });
}

describe('a client that resets its connection', () => {
  let database: TestDatabase;
  let server: Program & { url: string };
  let metricsPort: number;
  beforeAll(async () => {
    database = await createDatabase();
    metricsPort = await freePort();
    server = await startServer(
      settingsFor(database, { RATE_LIMITS: 'off', METRICS: 'on', METRICS_PORT: String(metricsPort) }),
    );
  });
  afterAll(async () => {
    server.signal('SIGKILL');
    await server.exit();
    await database.drop();
  });

  /** Over a connection of its own. */
  const ask = (path: string, init: RequestInit = {}, url = server.url) =>
    fetch(url + path, { ...init, headers: { ...init.headers, connection: 'close' } });

  /** The status of the port of the metrics, once it has noticed that others have gone: it lets in so few that they may be in the way. */
  const scraped = async (): Promise<number> => {
    const deadline = performance.now() + 5_000;
    for (;;) {
      try {
        return (await ask('/metrics', {}, `http://127.0.0.1:${metricsPort}`)).status;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await delay(20);
      }
    }
  };

  const resetAfter = (port: number, bytes: string, moment: (socket: Socket) => Promise<unknown>) =>
    new Promise<void>((resolve) => {
      // Ours stays open when the server has closed its end: a client need not take its leave.
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      socket.on('error', () => undefined).on('close', () => resolve());
      socket.on('connect', () => {
        socket.write(bytes, () => void moment(socket).then(() => socket.resetAndDestroy()));
      });
    });

  it.each(
    ASKED.flatMap(([name, bytes]) => Object.keys(MOMENTS).map((moment) => [name, moment, bytes] as const)),
  )('and has asked for %s ends nothing but that: %s', async (_, moment, bytes) => {
    const when = MOMENTS[moment] as (typeof MOMENTS)[string];
    const apiPort = Number(new URL(server.url).port);
    await Promise.all([
      ...Array.from({ length: TIMES }, () => resetAfter(apiPort, bytes, when)),
      ...Array.from({ length: TIMES_MEASURED }, () => resetAfter(metricsPort, bytes, when)),
    ]);

    expect((await ask('/health/live')).status).toBe(200);
    expect(await scraped()).toBe(200);
  });

  it('is nothing that the log would call an error, and the stop is a clean one', async () => {
    // Who has gone is served all the same: passwords still wait to be hashed.
    const bytes = login(`Content-Length: ${LOGIN.body.length}\r\n`, LOGIN.body);
    const apiPort = Number(new URL(server.url).port);
    await Promise.all(Array.from({ length: TIMES }, () => resetAfter(apiPort, bytes, somethingOf)));
    server.signal('SIGTERM');

    expect(await server.exit()).toBe(0);
    expect(server.stderr).toBe('');
    expect(server.stdout).toContain('"stopping"');
    expect(server.stdout).not.toMatch(/"level":"(error|fatal)"/);
  });
});
