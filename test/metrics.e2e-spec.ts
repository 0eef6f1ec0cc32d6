import { once } from 'node:events';
import { type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { loadConfig } from '../src/config/load-config';
import { API_ERRORS } from '../src/core/errors';
import { Metrics } from '../src/core/metrics';
import type { LaneQueue } from '../src/crypto/lane-queue';
import { withBudget } from '../src/core/request-budget';
import { PasswordHasher } from '../src/crypto/password-hasher';
import { QUEUE_LIMIT } from '../src/database/data-source-options';
import {
  MetricsServer,
  MOST_SCRAPERS,
  SCRAPE_HEADERS_MS,
  SCRAPE_IDLE_MS,
} from '../src/observability/metrics-server';
import type { PrometheusMetrics } from '../src/observability/prometheus-metrics';
import { LIMITS } from '../src/rate-limit/limits';
import { startApp, type TestApp } from './support/app';
import { holdConnections } from './support/connections';
import { createDatabase, type TestDatabase } from './support/database';
import { gate } from './support/gate';
import { freePort } from './support/mariadb-server';
import { loginHungUpOn } from './support/hang-up';
import { createKey, newcomer, signUp } from './support/people';
import { quiet } from './support/quiet';
import { headerOf, sendRaw } from './support/raw-http';
import { Scrape } from './support/scrape';
import {
  LISTING_MODULES,
  modulesLoadedBy,
  Program,
  settingsFor,
  startServer,
} from './support/server-process';
import { TestFailpoints } from './support/test-failpoints';

const DURATION = 'http_server_request_duration_seconds';

describe('metrics', () => {
  const failpoints = new TestFailpoints();
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ METRICS: 'on' }, { failpoints })));
  afterAll(() => app.close());

  const scrape = () => Scrape.from(app.url);

  /** How much a value has grown while something was done. */
  const growth = async (name: string, labels: Record<string, string>, work: () => Promise<unknown>) => {
    const before = (await scrape()).value(name, labels);
    await work();
    return (await scrape()).value(name, labels) - before;
  };

  it('time requests by method, template of the route, status and scheme, as OpenTelemetry has it', async () => {
    const { token } = await newcomer(app);
    const { keyId } = await createKey(app, token);
    const labels = {
      http_request_method: 'GET',
      http_route: '/api/v1/auth/keys/:keyId',
      http_response_status_code: '200',
      url_scheme: 'http',
    };

    const count = await growth(`${DURATION}_count`, labels, () =>
      app.call('GET', `/auth/keys/${keyId}`, { token }),
    );

    const { text, samples } = await scrape();
    const bounds = samples
      .filter(
        ({ name, labels: { http_route: route } }) =>
          name === `${DURATION}_bucket` && route === labels.http_route,
      )
      .map(({ labels: { le } }) => Number(le));
    expect(count).toBe(1);
    expect(bounds).toEqual([
      ...[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
      NaN,
    ]);
    expect(text).toContain(`# TYPE ${DURATION} histogram`);
    expect(text).not.toContain(keyId);
  });

  it('time a request whose client hangs up until then, once, whatever is done for it afterwards', async () => {
    const route = { http_request_method: 'POST', http_route: '/api/v1/auth/login' };
    const hungUp = { ...route, http_response_status_code: '499' };
    const signedIn = async () => (await scrape()).value('latchkey_logins_total', { outcome: 'succeeded' });
    const before = await signedIn();
    let ofHungUp = 0;

    const all = await growth(`${DURATION}_count`, route, async () => {
      ofHungUp = await growth(`${DURATION}_count`, hungUp, () => loginHungUpOn(app, failpoints));
      while ((await signedIn()) === before);
    });

    expect([all, ofHungUp]).toEqual([1, 1]);
  });

  it('have one label for all paths and methods that nobody knows', async () => {
    const made = ['/made-up-1', '/api/v1/made-up-2', '/api/v1/auth/login/made-up-3', '/%6dade-up-4'];
    const labels = { http_route: 'unmatched', http_response_status_code: '404' };

    const count = await growth(`${DURATION}_count`, labels, async () => {
      for (const path of made) await app.fetch(path);
      const odd = request(`${app.url}/made-up-5`, { method: 'MKCOL' }).end();
      const [answer] = (await once(odd, 'response')) as [NodeJS.ReadableStream];
      answer.resume();
      await once(answer, 'end');
    });

    const { text, samples } = await scrape();
    expect(count).toBe(5);
    expect(text).not.toContain('made-up');
    expect(samples.map(({ labels: { http_request_method: method } }) => method)).not.toContain('MKCOL');
    expect(text).toContain('http_request_method="_OTHER"');
  });

  it('count logins by how they ended', async () => {
    const { username, password } = await signUp(app);
    const outcomes = { succeeded: 1, invalid_credentials: 2, user_not_found: 3 };
    const before = await scrape();

    const login = (body: object) => app.call('POST', '/auth/login', { body });
    await login({ username, password });
    for (let count = 0; count < 2; count += 1) await login({ username, password: 'not that' });
    for (let count = 0; count < 3; count += 1) await login({ username: 'nobody-at-all', password });
    await login({ username });

    const after = await scrape();
    for (const [outcome, count] of Object.entries(outcomes)) {
      const labels = { outcome };
      expect([
        outcome,
        after.value('latchkey_logins_total', labels) - before.value('latchkey_logins_total', labels),
      ]).toEqual([outcome, count]);
    }
  });

  it('count refreshes by how they ended, and a theft once, however often the stolen token is shown', async () => {
    const { refreshToken } = await newcomer(app);
    const refresh = (token: string) =>
      app.call<{ refreshToken: string }>('POST', '/auth/refresh', { body: { refreshToken: token } });
    const before = await scrape();

    const { body } = await refresh(refreshToken);
    await refresh(body.refreshToken);
    for (let count = 0; count < 3; count += 1) await refresh(refreshToken);
    await refresh('forged');

    const after = await scrape();
    const grown = (name: string, labels: Record<string, string> = {}) =>
      after.value(name, labels) - before.value(name, labels);
    expect(grown('latchkey_refreshes_total', { outcome: 'granted' })).toBe(2);
    expect(grown('latchkey_refreshes_total', { outcome: 'reused' })).toBe(1);
    expect(grown('latchkey_refreshes_total', { outcome: 'refused' })).toBe(3);
    expect(grown('latchkey_refresh_token_reuse_total')).toBe(1);
  });

  it('count whom a limit stops, by its name, beginning with 0 for each', async () => {
    const { username } = await signUp(app);
    const before = await scrape();

    for (let count = 0; count < 12; count += 1) {
      await app.call('POST', '/auth/login', { body: { username, password: 'a guess' } });
    }

    const after = await scrape();
    const hits = 'latchkey_limit_hits_total';
    expect(before.of(hits).map(({ labels: { limit } }) => limit)).toEqual(Object.keys(LIMITS));
    expect(before.value(hits)).toBe(0);
    expect(after.value(hits, { limit: 'login-account' })).toBe(2);
    expect(after.value(hits)).toBe(2);
    expect(after.value('latchkey_logins_total', { outcome: 'rate_limited' })).toBe(2);
  });

  it('count what is refused by the code of the error, beginning with 0 for each, and no failure of ours', async () => {
    const { token } = await newcomer(app);
    const refusals = 'latchkey_refusals_total';
    const before = await scrape();

    for (const path of ['/users/me', '/auth/keys', '/auth/verify'])
      await app.call('GET', path, { token: `${token}x` });
    await app.call('GET', '/users/me', { key: 'sk_live_forged' });
    await app.call('POST', '/auth/login', { body: { username: { $ne: 1 } } });
    await app.call('POST', '/auth/login', { body: '{' });
    await app.fetch('/nowhere');
    await app.fetch('/api/v1/users/me/');
    await app.call('PUT', '/users/me', { token });
    await app.call('GET', '/users/me', { token });
    await app.rows('ALTER TABLE users RENAME TO lost');
    await app.call('POST', '/auth/login', { body: { username: 'somebody', password: 'a password' } });
    await app.rows('ALTER TABLE lost RENAME TO users');

    const after = await scrape();
    const grown = after
      .of(refusals)
      .map(({ labels, value }) => [
        labels['code'],
        value - before.value(refusals, { code: labels['code'] ?? '' }),
      ])
      .filter(([, by]) => by !== 0);
    const ofCallers = Object.entries(API_ERRORS).filter(([, { status }]) => status >= 400 && status < 500);
    const codesIn = (exported: Scrape) => exported.of(refusals).map(({ labels }) => labels['code']);
    expect(codesIn(before)).toEqual(ofCallers.map(([code]) => code));
    expect(before.value(refusals, { code: 'headers_too_large' })).toBe(0);
    expect(codesIn(after)).toEqual(codesIn(before));
    expect(Object.fromEntries(grown)).toEqual({
      ...{ token_invalid: 3, api_key_invalid: 1, validation_failed: 1, malformed_json: 1 },
      ...{ not_found: 2, method_not_allowed: 1 },
    });
  });

  it('tell the age of the revocation feed', async () => {
    await app.rows('ALTER TABLE revocation_entries RENAME TO gone');
    await app.logs('The revocation feed cannot be read; each request asks the database');
    const before = (await scrape()).value('latchkey_revocation_feed_age_seconds');
    app.clock.push(7);

    const age = (await scrape()).value('latchkey_revocation_feed_age_seconds');
    await app.rows('ALTER TABLE gone RENAME TO revocation_entries');

    expect(before).toBeLessThan(7);
    expect(age).toBeGreaterThanOrEqual(7);
  });

  it('tell how many passwords wait in each lane, how long they waited, and how many were refused', async () => {
    const { queue } = app.nest.get<{ queue: LaneQueue<string> }>(PasswordHasher);
    const { username, password, deviceToken } = await newcomer(app);
    const { limits, held } = { limits: queue.limits, held: gate() };
    // Somebody holds every thread, so that the next one waits; and the lane takes one.
    queue.limits = { ...limits, known: 1, holder: Infinity };
    const holders = Array.from({ length: (queue as unknown as { free: number }).free }, () =>
      queue.run({ lane: 'holder', network: 'test', subject: 'test' }, () => held.opened),
    );
    const before = await scrape();

    const login = () => app.call('POST', '/auth/login', { body: { username, password, deviceToken } });
    const waiting = login();
    while (queue.length('known') === 0) await app.fetch('/health/live');
    const refused = await login();
    const during = await scrape();
    held.open();
    await Promise.all([...holders, waiting]);
    queue.limits = limits;

    const after = await scrape();
    const lane = { lane: 'known' };
    expect(refused.status).toBe(503);
    expect(before.value('latchkey_hash_queue_waiting', lane)).toBe(0);
    expect(during.value('latchkey_hash_queue_waiting', lane)).toBe(1);
    expect(after.value('latchkey_hash_queue_waiting', lane)).toBe(0);
    expect(after.value('latchkey_hash_queue_refusals_total', lane)).toBe(1);
    const waits = 'latchkey_hash_queue_wait_seconds_count';
    expect(after.value(waits, lane) - before.value(waits, lane)).toBe(1);
    expect(after.value('latchkey_hash_queue_wait_seconds_sum', lane)).toBeGreaterThan(0);
  });

  it('tell how many connections are in use, and who waits for one', async () => {
    const held = gate();
    const { value: most } = (await scrape()).of('latchkey_database_connections_max')[0] ?? { value: 0 };
    const holders = Array.from({ length: most + 2 }, () => app.inDatabase(() => held.opened));

    const state = async () => {
      const now = await scrape();
      return ['used', 'waiting'].map((what) =>
        now.value(what === 'used' ? 'latchkey_database_connections_used' : 'latchkey_database_waiting'),
      );
    };
    let during = await state();
    // The poll of the feed comes and waits too; connections of a pool take a moment to be made.
    while (during[0] !== most || (during[1] as number) < 2) during = await state();
    held.open();
    await Promise.all(holders);

    expect(during[0]).toBe(most);
    let after = await state();
    while (after.join() !== '0,0') after = await state();
  });

  it('count what the database fails', async () => {
    // Whose rounds would fail as well.
    await quiet(app);
    await app.rows('ALTER TABLE users RENAME TO lost');

    const failures = await growth('latchkey_database_failures_total', {}, () =>
      app.call('POST', '/auth/login', { body: { username: 'somebody', password: 'a password' } }),
    );
    await app.rows('ALTER TABLE lost RENAME TO users');

    expect(failures).toBe(1);
  });

  it('count whose turn on the database never comes for others, and none of them as failed by it', async () => {
    await quiet(app);
    const [failures, refusals] = ['latchkey_database_failures_total', 'latchkey_database_refusals_total'];
    const before = await scrape();
    const letGo = await holdConnections(app);
    const unit = () => app.rows('SELECT 1');

    const [outOfTime] = await Promise.allSettled([withBudget(50, unit)]);
    const crowd = Promise.allSettled(Array.from({ length: QUEUE_LIMIT }, unit));
    const [withoutPlace] = await Promise.allSettled([unit()]);
    await letGo();
    await crowd;

    const after = await scrape();
    const unavailable = { status: 'rejected', reason: { code: 'service_unavailable' } };
    expect([outOfTime, withoutPlace]).toMatchObject([unavailable, unavailable]);
    // The place of the one that gave up is taken until its turn comes.
    expect(after.value(refusals) - before.value(refusals)).toBe(3);
    expect(after.value(failures) - before.value(failures)).toBe(0);
  });

  it('have the figures of the process, of the event loop, and the version', async () => {
    const now = await scrape();

    expect(now.value('process_resident_memory_bytes')).toBeGreaterThan(10e6);
    expect(now.names).toContain('nodejs_eventloop_lag_p99_seconds');
    expect(now.names).toContain('process_cpu_seconds_total');
    expect(now.value('latchkey_build_info', { version: '0.1.0' })).toBe(1);
  });

  it.each(['x-forwarded-for', 'x-forwarded-host', 'forwarded', 'via', 'x-real-ip'])(
    'are not there for who comes through a proxy, as %s tells',
    async (name) => {
      const response = await app.fetch('/metrics', { headers: { [name]: '203.0.113.7' } });

      expect([response.status, await response.json()]).toEqual([404, { error: 'Not found' }]);
    },
  );
});

describe('metrics behind a proxy', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ METRICS: 'on', TRUST_PROXY: 'loopback' })));
  afterAll(() => app.close());

  it('have the scheme by which the proxy was asked, and none that there is not', async () => {
    for (const scheme of ['https', 'https', 'http', 'made-up'])
      await app.fetch('/health/live', { headers: { 'X-Forwarded-Proto': scheme } });

    const now = await Scrape.from(app.url);
    const ofScheme = (scheme: string) => now.value(`${DURATION}_count`, { url_scheme: scheme });
    expect(now.text).not.toContain('made-up');
    expect([ofScheme('https'), ofScheme('http')]).toEqual([2, 2]);
  });
});

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
