import { startApp, type TestApp } from './support/app';
import { createDatabase, onMysql } from './support/database';
import { loginHungUpOn } from './support/hang-up';
import { issued } from './support/secret-watch';
import { createKey, newcomer, signUp } from './support/people';
import { LISTING_MODULES, modulesLoadedBy, settingsFor, startServer } from './support/server-process';
import { TestFailpoints } from './support/test-failpoints';
import { TraceCollector } from './support/trace-collector';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const HEX = /^[0-9a-f]+$/;

describe('tracing', () => {
  const failpoints = new TestFailpoints();
  let collector: TraceCollector;
  let app: TestApp;
  beforeEach(async () => {
    collector = await TraceCollector.start();
    app = await startApp(
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_HEADERS: 'x-team=doors%20and%20locks,x-other=1',
        OTEL_SERVICE_NAME: 'front-door',
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=the%20cellar,service.version=9',
      },
      { failpoints },
    );
  });
  afterEach(async () => {
    await app.close();
    await collector.stop();
  });

  const requestIdOf = ({ headers }: { headers: Headers }) => headers.get('x-request-id') as string;

  it('makes a request one span, and the hashing and the database spans below it', async () => {
    const { username, password } = await signUp(app);

    const login = await app.call('POST', '/auth/login', { body: { username, password } });
    await app.restart();

    const spans = collector.trace(requestIdOf(login));
    const root = spans.find(({ name }) => name === 'POST /api/v1/auth/login');
    expect(root).toMatchObject({
      traceId: expect.stringMatching(HEX) as string,
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/api/v1/auth/login',
        'http.response.status_code': 200,
        'url.scheme': 'http',
      },
      status: 0,
    });
    const children = spans.filter(({ parentSpanId }) => parentSpanId === root?.spanId);
    expect(children).toHaveLength(spans.length - 1);
    const names = children.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(['password verify', 'database read', 'database transaction']),
    );
    expect(children.find(({ name }) => name === 'password verify')?.attributes).toEqual({
      'latchkey.hash.lane': 'unknown',
    });
    expect(children.find(({ name }) => name === 'database transaction')?.attributes).toEqual({
      'db.system.name': onMysql ? (expect.stringMatching(/^(mysql|mariadb)$/) as string) : 'sqlite',
    });
  });

  it('ends the span of a request whose client hangs up, with a status that nobody is sent', async () => {
    await loginHungUpOn(app, failpoints, { traceparent: `00-${TRACE}-${PARENT}-01` });
    await app.restart();

    const roots = collector.spans.filter(
      ({ traceId, parentSpanId }) => traceId === TRACE && parentSpanId === PARENT,
    );
    expect(roots).toEqual([
      expect.objectContaining({
        name: 'POST /api/v1/auth/login',
        attributes: expect.objectContaining({ 'http.response.status_code': 499 }) as object,
        status: 0,
      }),
    ]);
  });

  it('goes to the path of the signal, with the headers and the name that are configured', async () => {
    const answer = await app.fetch('/health/live');
    await app.restart();

    expect(collector.trace(requestIdOf(answer)).map(({ name }) => name)).toEqual(['GET /health/live']);
    expect(collector.requests[0]?.url).toBe('/v1/traces');
    expect(collector.requests[0]?.headers).toMatchObject({ 'x-team': 'doors and locks', 'x-other': '1' });
    expect(collector.resource).toMatchObject({
      ...{ 'service.name': 'front-door', 'service.version': '0.1.0' },
      'deployment.environment.name': 'the cellar',
    });
  });

  it('names the instance: another one at each start, or as the operator has it', async () => {
    const instances: unknown[] = [];
    const traceAndRestart = async (settings: Record<string, string>) => {
      await app.fetch('/health/live');
      await app.restart(settings);
      instances.push(collector.resource['service.instance.id']);
    };

    await traceAndRestart({});
    await traceAndRestart({ OTEL_RESOURCE_ATTRIBUTES: 'service.instance.id=10.0.0.11:9464' });
    await traceAndRestart({});

    const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
    const [first, second, named] = instances;
    expect([first, second]).toEqual([expect.stringMatching(uuid), expect.stringMatching(uuid)]);
    expect(second).not.toBe(first);
    expect(named).toBe('10.0.0.11:9464');
  });

  it('goes on with the trace of a request that belongs to one, unless that is not to be recorded', async () => {
    const within = (flags: string) => ({ headers: { traceparent: `00-${TRACE}-${PARENT}-${flags}` } });

    const recorded = await app.fetch('/health/live', within('01'));
    const unrecorded = await app.fetch('/health/live', within('00'));
    const broken = await app.fetch('/health/live', { headers: { traceparent: `00-${TRACE}-x` } });
    await app.restart();

    const [span] = collector.trace(requestIdOf(recorded));
    const [ownSpan] = collector.trace(requestIdOf(broken));
    expect(span).toMatchObject({ traceId: TRACE, parentSpanId: PARENT });
    expect(ownSpan).toMatchObject({ traceId: expect.stringMatching(HEX) as string, parentSpanId: undefined });
    expect(ownSpan?.traceId).not.toBe(TRACE);
    expect(
      collector.spans.filter(
        ({ attributes }) => attributes['latchkey.request_id'] === requestIdOf(unrecorded),
      ),
    ).toEqual([]);
  });

  it('puts the ids into the lines that a traced request has logged, and into no other', async () => {
    await app.rows('ALTER TABLE users RENAME TO lost');
    const answer = await app.call('POST', '/auth/login', { body: { username: 'somebody', password: 'x' } });
    await app.rows('ALTER TABLE lost RENAME TO users');
    await app.restart();

    const [span] = collector.trace(requestIdOf(answer)).filter(({ name }) => name.startsWith('POST'));
    const lines = app.logged.filter(({ requestId }) => requestId === requestIdOf(answer));
    expect(lines.map(({ level }) => level).sort()).toEqual(['debug', 'error']);
    for (const line of lines) expect(line).toMatchObject({ trace_id: span?.traceId, span_id: span?.spanId });
    expect(span).toMatchObject({
      status: 2,
      attributes: { 'error.type': '503', 'http.response.status_code': 503 },
    });
    expect(app.logged.filter((line) => !('requestId' in line) && 'trace_id' in line)).toEqual([]);
  });

  it('tells nobody a secret, a path, a query or what the database complains of', async () => {
    const person = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, person.token);
    await app.call('GET', '/users/me', { key: apiKey });
    await app.call('GET', `/auth/keys/${keyId}`, { token: person.token });
    await app.call('POST', '/auth/refresh', { body: { refreshToken: person.refreshToken } });
    await app.fetch(`/api/v1/users/me?access_token=${person.token}`);
    await app.fetch(`/api/v1/${apiKey}`);
    await app.call('POST', '/users', { body: { ...person, id: undefined, token: undefined } });
    await app.rows('ALTER TABLE users RENAME TO lost');
    await app.call('POST', '/auth/login', { body: person });
    await app.rows('ALTER TABLE lost RENAME TO users');
    await app.restart();

    const sent = collector.bodies.join('\n');
    expect(collector.spans.length).toBeGreaterThan(20);
    expect(issued.foundIn(sent)).toEqual([]);
    for (const text of [
      keyId,
      person.username,
      person.email,
      person.id,
      'access_token',
      'SELECT',
      'no such',
    ]) {
      expect(sent).not.toContain(text);
    }
  });

  it('holds nobody up when nobody collects, neither a request nor the stop', async () => {
    await collector.stop();

    const { status } = await app.fetch('/health/live');
    const begun = performance.now();
    await app.restart();
    const milliseconds = performance.now() - begun;

    collector = await TraceCollector.start();
    expect(status).toBe(200);
    expect(milliseconds).toBeLessThan(5_000);
  });

  it('is reported once when it is refused, and when it is taken again', async () => {
    collector.status = 400;
    await app.fetch('/health/live');
    await app.logs('Traces cannot be sent; they are lost');
    await app.fetch('/health/live');
    while (collector.bodies.length < 2) await collector.batch();

    collector.status = 200;
    await app.fetch('/health/live');
    await app.logs('Traces are sent again');

    const told = app.logged.map(({ msg }) => String(msg)).filter((msg) => msg.startsWith('Traces'));
    expect(told).toEqual(['Traces cannot be sent; they are lost', 'Traces are sent again']);
  });
});

describe('a process', () => {
  it('loads OpenTelemetry when traces have somewhere to go, and sends the last ones before it ends', async () => {
    const collector = await TraceCollector.start();
    const database = await createDatabase();
    const server = await startServer(
      settingsFor(database, { ...LISTING_MODULES, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }),
    );

    const answer = await fetch(`${server.url}/health/ready`);
    server.signal('SIGTERM');
    const code = await server.exit();

    const names = collector.spans.map(({ name }) => name);
    expect([code, answer.status]).toEqual([0, 200]);
    expect(names).toContain('GET /health/ready');
    expect(modulesLoadedBy(server)).toContain('@opentelemetry/sdk-trace-base');
    await collector.stop();
    await database.drop();
  });
});
