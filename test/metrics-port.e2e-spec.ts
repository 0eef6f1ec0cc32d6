import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { loadConfig } from '../src/config/load-config';
import { Metrics } from '../src/core/metrics';
import {
  MetricsServer,
  MOST_SCRAPERS,
  SCRAPE_HEADERS_MS,
  SCRAPE_IDLE_MS,
} from '../src/observability/metrics-server';
import type { PrometheusMetrics } from '../src/observability/prometheus-metrics';
import { startApp, type TestApp } from './support/app';
import { createDatabase, type TestDatabase } from './support/database';
import { gate } from './support/gate';
import { freePort } from './support/mariadb-server';
import { headerOf, sendRaw } from './support/raw-http';
import { Scrape } from './support/scrape';
import {
  LISTING_MODULES,
  modulesLoadedBy,
  Program,
  settingsFor,
  startServer,
} from './support/server-process';

describe('metrics on a port of their own', () => {
  let app: TestApp;
  let origin: string;
  beforeAll(async () => {
    app = await startApp({ METRICS: 'on', METRICS_PORT: '0' });
    const server = app.nest.get(MetricsServer);
    await server.listen();
    origin = `http://127.0.0.1:${server.address?.port}`;
  });
  afterAll(() => app.close());

  it('are there, and not where the API is', async () => {
    await app.fetch('/health/live');

    const { samples } = await Scrape.from(origin);

    expect(samples.some(({ labels: { http_route: route } }) => route === '/health/live')).toBe(true);
    expect((await app.fetch('/metrics')).status).toBe(404);
  });

  it('are the only thing there', async () => {
    const statuses = await Promise.all([
      fetch(`${origin}/`),
      fetch(`${origin}/health/live`),
      fetch(`${origin}/metrics/x`),
      fetch(`${origin}/metrics`, { method: 'POST' }),
    ]);

    expect(statuses.map(({ status }) => status)).toEqual([404, 404, 404, 404]);
  });

  it('are measured once for all who ask meanwhile, and once for a burst on one connection', async () => {
    const exports = jest.spyOn(app.nest.get<PrometheusMetrics>(Metrics), 'export');
    const socket = connect(Number(new URL(origin).port), '127.0.0.1');
    let received = '';
    socket.on('data', (chunk) => (received += chunk.toString('latin1')));
    socket.write('GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n'.repeat(1_000));
    await once(socket, 'close');
    expect(received.match(/^HTTP\/1.1 \d{3}/gm)).toEqual(['HTTP/1.1 200']);
    expect(exports).toHaveBeenCalledTimes(1);

    const { server } = app.nest.get<{ server: Server }>(MetricsServer);
    const allThere = gate();
    let come = 0;
    server.on('request', () => (come += 1) === 10 && allThere.open());
    exports.mockClear().mockImplementation(async () => {
      await allThere.opened;
      return { type: 'text/plain', text: 'measured' };
    });
    const scrapes = await Promise.all(Array.from({ length: 10 }, () => fetch(`${origin}/metrics`)));
    expect(await Promise.all(scrapes.map((scrape) => scrape.text()))).toEqual(Array(10).fill('measured'));
    expect(exports).toHaveBeenCalledTimes(1);
    exports.mockRestore();
  });
});

describe('a connection to the port of metrics', () => {
  let app: TestApp;
  let server: Server;
  beforeAll(async () => {
    app = await startApp({ METRICS: 'on', METRICS_PORT: '0' });
    await app.nest.get(MetricsServer).listen();
    ({ server } = app.nest.get<{ server: Server }>(MetricsServer));
  });
  afterAll(() => app.close());

  it.each([
    ['HTTP/1.1', 'GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n', 200],
    ['HTTP/1.0 that is to be kept', 'GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', 200],
    ['HTTP/1.1 for something else', 'GET / HTTP/1.1\r\nHost: here\r\n\r\n', 404],
  ])('is closed right after its first answer, and no other is made, by %s', async (_, asked, status) => {
    const responses: ServerResponse[] = [];
    const keep = (_request: IncomingMessage, response: ServerResponse) => void responses.push(response);
    server.on('request', keep);
    const begun = performance.now();

    const url = `http://127.0.0.1:${app.nest.get(MetricsServer).address?.port}`;
    const answers = await sendRaw(url, asked.repeat(3));

    const milliseconds = performance.now() - begun;
    server.off('request', keep);
    expect(answers.map((answer) => [answer.status, headerOf(answer, 'connection')])).toEqual([
      [status, 'close'],
    ]);
    expect(responses.map(({ headersSent }) => headersSent)).toEqual([true, false, false]);
    // Node keeps one open for five seconds and more, on which it would take no other.
    expect(milliseconds).toBeLessThan(4_000);
  });
});

describe('metrics on a port of which every connection is taken', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp({ METRICS: 'on', METRICS_PORT: '0' });
    await app.nest.get(MetricsServer).listen();
  });
  afterAll(() => app.close());

  it('are there again in seconds, whether those who took them say nothing or never read', async () => {
    const metrics = app.nest.get(MetricsServer);
    const { server } = metrics as unknown as { server: Server };
    const port = metrics.address?.port ?? 0;
    const allTaken = gate();
    const allClosed = gate();
    let [taken, closed] = [0, 0];
    server.on('connection', (socket) => {
      if ((taken += 1) === MOST_SCRAPERS) allTaken.open();
      socket.once('close', () => (closed += 1) === MOST_SCRAPERS && allClosed.open());
    });

    const takers = Array.from({ length: MOST_SCRAPERS }, (_, index) => {
      const socket = connect(port, '127.0.0.1').pause();
      socket.on('error', () => undefined);
      // More than lies in the buffers on the way.
      if (index % 10 === 0) socket.write('GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n'.repeat(400));
      return socket;
    });
    await allTaken.opened;
    await allClosed.opened;

    expect(closed).toBe(MOST_SCRAPERS);
    // How soon it is depends on the machine as well; what it is told does not.
    expect(server).toMatchObject({
      ...{ headersTimeout: SCRAPE_HEADERS_MS, connectionsCheckingInterval: 1_000 },
      ...{ timeout: SCRAPE_IDLE_MS, maxConnections: MOST_SCRAPERS },
    });
    expect((await Scrape.from(`http://127.0.0.1:${port}`)).samples.length).toBeGreaterThan(10);
    for (const socket of takers) socket.destroy();
  }, 60_000);
});

describe('a process', () => {
  let database: TestDatabase;
  beforeEach(async () => (database = await createDatabase()));
  afterEach(() => database.drop());

  const modulesOf = async (settings: Record<string, string>) => {
    const server = await startServer(settingsFor(database, { ...LISTING_MODULES, ...settings }));
    const { status } = await fetch(`${server.url}/metrics`);
    server.signal('SIGTERM');
    await server.exit();
    return { status, modules: modulesLoadedBy(server) };
  };

  it('has no metrics unless it is told to, and loads nothing that measures or traces', async () => {
    const { status, modules } = await modulesOf({});

    expect(status).toBe(404);
    expect(modules).toContain('piscina');
    expect(modules.filter((name) => /prom-client|opentelemetry/.test(name))).toEqual([]);
  });

  it('loads the library for metrics with them, and of OpenTelemetry what that one wants', async () => {
    const { status, modules } = await modulesOf({ METRICS: 'on' });

    expect(status).toBe(200);
    expect(modules.filter((name) => /prom-client|opentelemetry\//.test(name))).toEqual([
      'prom-client',
      '@opentelemetry/api',
    ]);
  });

  it('is meant to have them on port 9464 in production, and says so where the port is in use', async () => {
    const port = await freePort();
    const occupant = createServer().listen(port, '127.0.0.1');
    await once(occupant, 'listening');
    const settings = settingsFor(database, { METRICS: 'on', METRICS_PORT: String(port) });

    const program = new Program([join('scripts', 'start.mjs'), 'main'], settings);
    const code = await program.exit();
    occupant.close();

    expect(loadConfig({ NODE_ENV: 'production' }).metricsPort).toBe(9464);
    expect(code).toBe(1);
    expect(program.stderr).toBe(
      `Latchkey cannot start. Port ${port} on 127.0.0.1 is in use; stop the other program, or set METRICS_PORT to a free one.\n`,
    );
  });
});
