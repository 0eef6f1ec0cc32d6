import { readdirSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Metrics } from '../src/core/metrics';
import { CONNECTION_LIMITS, MOST_PIPELINED, MOST_RECEIVED } from '../src/http/connections';
import type { PrometheusMetrics } from '../src/observability/prometheus-metrics';
import { startApp, type TestApp } from './support/app';
import { createDatabase, type TestDatabase } from './support/database';
import { freePort } from './support/mariadb-server';
import { newcomer } from './support/people';
import { sendRaw } from './support/raw-http';
import { Scrape } from './support/scrape';
import { type Program, settingsFor, startServer } from './support/server-process';
import { TestFailpoints } from './support/test-failpoints';

const SOCKETS = 2000;

/** How many connect at a time: fewer than the 511 that a listening socket of Node lets wait for being accepted. */
const WAVE = 250;

/** Milliseconds within which the server must have hung up on every one of them. */
const LONGEST_MS = 20_000;

/** Ways to keep a server waiting: what is sent at once, and what again every second. */
const WAYS: { first: string; then: string }[] = [
  { first: '', then: '' },
  { first: 'G', then: '' },
  { first: 'GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\n', then: 'X-A: b\r\n' },
  {
    first:
      'POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n',
    then: ' ',
  },
  {
    first:
      'POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
    then: '1\r\n \r\n',
  },
  { first: 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n', then: '' },
];

/** What they are told, if anything. */
const TOLD = [
  /^HTTP\/1\.1 408 [^]*\r\nx-error-code: request_timeout\r\n/,
  /^HTTP\/1\.1 400 [^]*\r\nx-error-code: bad_request\r\n/,
];

/** Connections that the server may still have when all of them are gone: those of who asks it. */
const ASKING = 10;

/** One that takes its time. */
class SlowClient {
  received = '';
  /** When it was let in, and when it was told that this is the end; whether the server has it still, only the server knows. */
  begun = Infinity;
  ended = Infinity;
  private readonly socket: Socket;
  readonly connected: Promise<void>;
  readonly closed: Promise<void>;

  constructor(
    port: number,
    readonly way: number,
    /** Whether its own end stays open when the server has closed the other one. */
    readonly stays: boolean,
  ) {
    const { first } = WAYS[way] as (typeof WAYS)[number];
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: stays });
    this.connected = new Promise((resolve) =>
      this.socket.on('connect', () => {
        this.begun = performance.now();
        this.socket.write(first);
        resolve();
      }),
    );
    this.socket.on('data', (chunk: Buffer) => (this.received += chunk.toString()));
    // A server that hangs up while one is writing resets the connection: hung up is hung up.
    this.socket.on('error', () => this.socket.destroy());
    this.closed = new Promise((resolve) => {
      const end = () => {
        this.ended = Math.min(this.ended, performance.now());
        resolve();
      };
      this.socket.on('end', end).on('close', end);
    });
  }

  goOn(): void {
    const { then } = WAYS[this.way] as (typeof WAYS)[number];
    if (this.begun < Infinity && this.socket.writable && then !== '') this.socket.write(then);
  }

  destroy(): void {
    this.socket.destroy();
  }
}

describe('two thousand slow clients', () => {
  let database: TestDatabase;
  let server: Program & { url: string };
  const clients: SlowClient[] = [];

  let metricsPort: number;
  beforeAll(async () => {
    database = await createDatabase();
    metricsPort = await freePort();
    const metrics = { METRICS: 'on', METRICS_PORT: String(metricsPort) };
    // Logins of nobody are only asked whether they are still answered.
    server = await startServer(settingsFor(database, { RATE_LIMITS: 'off', ...metrics }));
  }, 60_000);
  afterAll(async () => {
    for (const client of clients) client.destroy();
    server.signal('SIGTERM');
    await server.exit();
    await database.drop();
  });

  /**
   * Lets them all in, wave by wave. A client for whom there is no room in the queue takes itself for connected though the server
   * knows nothing of it; whoever is answered after a wave stood in the queue behind it, so it is empty by then.
   */
  const connectAll = async (): Promise<void> => {
    const port = Number(new URL(server.url).port);
    while (clients.length < SOCKETS) {
      const wave = Array.from({ length: WAVE }, (_, index) => {
        const number = clients.length + index;
        return new SlowClient(port, number % WAYS.length, Math.floor(number / WAYS.length) % 2 === 0);
      });
      clients.push(...wave);
      await Promise.all(wave.map(({ connected }) => connected));
      expect((await fetch(`${server.url}/health/live`, { headers: { connection: 'close' } })).status).toBe(
        200,
      );
    }
  };

  /** How many connections the server has, by its own count: also those that nobody but it takes for open. */
  const held = async (): Promise<number> => {
    const metrics = await fetch(`http://127.0.0.1:${metricsPort}/metrics`).then((answer) => answer.text());
    return Number(/^nodejs_active_resources\{type="TCPSocketWrap"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
  };

  const milliseconds = async (work: Promise<unknown>): Promise<number> => {
    const begun = performance.now();
    await work;
    return performance.now() - begun;
  };

  it('are all hung up on within twenty seconds, and others are served meanwhile', async () => {
    await connectAll();
    const begun = performance.now();
    expect(await held()).toBeGreaterThan(SOCKETS / 2);
    const drip = setInterval(() => clients.forEach((client) => client.goOn()), 1000);
    let open = true;
    const allClosed = Promise.all(clients.map(({ closed }) => closed)).finally(() => (open = false));

    const waits: number[] = [];
    while (open) {
      const login = fetch(`${server.url}/api/v1/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"username":"nobody","password":"whatever"}',
      }).then((response) => expect(response.status).toBe(401));
      waits.push(await milliseconds(login));
    }
    await allClosed;
    while ((await held()) > ASKING) await delay(100);
    const allGone = performance.now() - begun;
    clearInterval(drip);

    expect(allGone).toBeLessThan(LONGEST_MS);
    expect(Math.max(...clients.map(({ begun, ended }) => ended - begun))).toBeLessThan(LONGEST_MS);
    expect(waits.length).toBeGreaterThan(10);
    // They are served, however slowly: none waits until the others have been hung up on.
    expect(Math.max(...waits)).toBeLessThan(10_000);
    const answered = clients.filter(({ received }) => received !== '');
    expect(answered.length).toBeGreaterThan(SOCKETS / 2);
    for (const { received } of answered) expect(TOLD.some((told) => told.test(received))).toBe(true);
  }, 60_000);
});

/** How many connections were closed for that reason. Asked for without one, which there might not be. */
const closedFor = async (app: TestApp, reason: string): Promise<number> => {
  const { text } = await app.nest.get<PrometheusMetrics>(Metrics).export();
  return new Scrape(text).value('latchkey_connections_closed_total', { reason });
};

describe('a client that sends requests without awaiting the answers', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ METRICS: 'on' })));
  afterAll(() => app.close());

  const LARGE = ['/openapi.json', '/openapi.yaml', '/docs/swagger-ui-init.js'];
  const pipelined = (path: string, count: number) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(count);

  it('is answered so many of them, then 400, and hung up on', async () => {
    const answers = await sendRaw(app.url, pipelined('/health/live', MOST_PIPELINED + 20));

    expect(answers.map(({ status }) => status)).toEqual([...Array<number>(MOST_PIPELINED).fill(200), 400]);
  });

  it('is hung up on without a word where it sends many more, also such as reach no route', async () => {
    const before = await closedFor(app, 'flood');

    const answers = await sendRaw(app.url, pipelined('/%zz', 10 * MOST_RECEIVED));

    expect(answers.length).toBeLessThanOrEqual(MOST_RECEIVED);
    expect((await closedFor(app, 'flood')) - before).toBe(1);
    expect((await app.fetch('/health/live')).status).toBe(200);
  });

  it('leaves no file open of which it has never read, whichever answer of its was on its way', async () => {
    const PAGE_FILE = '/docs/swagger-ui-bundle.js';
    const opened = () =>
      readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).endsWith('swagger-ui-bundle.js');
        } catch {
          // The folder itself, which was open while it was read.
          return false;
        }
      }).length;
    const clients = Array.from({ length: 20 }, () => {
      const socket = connect(Number(new URL(app.url).port), '127.0.0.1').pause();
      socket.write(pipelined(PAGE_FILE, MOST_PIPELINED));
      return socket;
    });
    while (opened() < clients.length) await delay(1);

    for (const socket of clients) socket.destroy();

    while (opened() > 0) await delay(10);
    expect((await app.fetch(PAGE_FILE)).status).toBe(200);
  });

  it('costs little memory if it never reads, and is hung up on', async () => {
    const server = app.nest.getHttpAdapter().getInstance().server;
    expect(server.timeout).toBe(CONNECTION_LIMITS.connectionTimeout);
    // The same, sooner. Whoever has taken something since is given the time once more.
    server.timeout = 300;
    let closed = 0;
    server.on('connection', (socket) => socket.on('close', () => (closed += 1)));
    const memoryBefore = process.memoryUsage.rss();
    let mostMemory = 0;

    const clients = Array.from({ length: 120 }, (_, index) => {
      const socket = connect(Number(new URL(app.url).port), '127.0.0.1').pause();
      socket.on('error', () => undefined);
      // Some with more than is answered; the others with so few at a time that each may be, until what nobody takes fills up.
      socket.write(pipelined(LARGE[index % LARGE.length] ?? '', index % 100 === 0 ? 400 : 2));
      return socket;
    });
    do {
      for (const [index, socket] of clients.entries())
        if (socket.writable) socket.write(pipelined(LARGE[index % LARGE.length] ?? '', 2));
      mostMemory = Math.max(mostMemory, process.memoryUsage.rss());
      await delay(50);
    } while (closed < clients.length);

    // Answers made for each that is let in would be two hundred megabytes, and their making would take half a minute.
    expect(mostMemory - memoryBefore).toBeLessThan(120 * 1024 * 1024);
    for (const socket of clients) socket.destroy();
    expect((await app.fetch('/health/live')).status).toBe(200);
  });
});

describe('an address that takes every connection it can get', () => {
  const MOST = 40;
  const failpoints = new TestFailpoints();
  let app: TestApp;
  let port: number;
  const opened: { address: string; socket: Socket }[] = [];
  beforeEach(async () => {
    app = await startApp({ METRICS: 'on' }, { failpoints });
    port = Number(new URL(app.url).port);
    app.nest.getHttpAdapter().getInstance().server.maxConnections = MOST;
  });
  afterEach(async () => {
    for (const { socket } of opened.splice(0)) socket.destroy();
    await app.close();
  });

  const open = (address: string): Socket => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: address });
    opened.push({ address, socket });
    return socket.on('error', () => undefined);
  };

  /** Has something answered over a connection from that address; then keeps it open. Whether it was answered. */
  const hold = (
    address: string,
    request = 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n',
  ): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = open(address).on('close', () => resolve(false));
      socket.on('data', () => resolve(true)).write(request);
    });

  const holdMany = async (address: string): Promise<number> => {
    let held = 0;
    for (let time = 0; time < MOST; time += 1) if (await hold(address)) held += 1;
    return held;
  };

  /** Waits until that many of the address are left. */
  const left = async (address: string, count: number): Promise<void> => {
    const open = () => opened.filter(({ address: its, socket }) => its === address && !socket.destroyed);
    while (open().length !== count) await new Promise((resolve) => setImmediate(resolve));
  };

  it('gets as many as are left for others, and gives some up to whoever has clearly less', async () => {
    expect(await holdMany('127.0.0.2')).toBe(MOST / 2);
    // Ten that were left, and five of the other's.
    expect(await holdMany('127.0.0.3')).toBe(MOST / 2 - 5);
    await left('127.0.0.2', MOST / 2 - 5);
    expect(await closedFor(app, 'share')).toBe(MOST / 2 + MOST / 2 + 5);
    expect(await closedFor(app, 'made_room')).toBe(5);

    for (let address = 4; address < 16; address += 1) {
      expect(await holdMany(`127.0.0.${address}`)).toBeGreaterThan(1);
    }

    expect(await hold('127.0.0.16')).toBe(true);
  });

  it('has others turned away where there are no more to be had by anybody, which is counted', async () => {
    expect(await hold('127.0.0.2')).toBe(true);
    app.nest.getHttpAdapter().getInstance().server.maxConnections = 1;

    expect(await hold('127.0.0.3')).toBe(false);

    expect(await closedFor(app, 'full')).toBe(1);
    expect(await closedFor(app, 'share')).toBe(0);
  });

  it('that sends its requests slowly gives them up as well', async () => {
    const slowly =
      'POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n';
    for (let address = 2; address < 9; address += 1) {
      for (let time = 0; time < MOST; time += 1) {
        const socket = open(`127.0.0.${address}`);
        await new Promise<void>((resolve) => socket.once('connect', resolve).once('close', () => resolve()));
        if (!socket.destroyed) socket.write(slowly);
      }
    }

    expect(await hold('127.0.0.16')).toBe(true);
  });

  it('is not hung up on while something is being done for it', async () => {
    const { token } = await newcomer(app);
    const { reached, release } = failpoints.hold('logout:session_revoked');
    const logout = `POST /api/v1/auth/logout HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 0\r\n\r\n`;
    const answered = hold('127.0.0.2', logout);
    await reached;
    await holdMany('127.0.0.2');

    for (let address = 3; address < 6; address += 1) await holdMany(`127.0.0.${address}`);
    release();

    expect(await answered).toBe(true);
  });
});
