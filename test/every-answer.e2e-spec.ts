import { DataSource } from 'typeorm';
import { UsersService } from '../src/users/users.service';
import { startApp, type TestApp } from './support/app';
import { issued } from './support/secret-watch';
import { quiet } from './support/quiet';
import { createKey, logIn, type LoginBody, newcomer, type Person, signUp } from './support/people';
import { headerOf, type RawAnswer, sendRaw } from './support/raw-http';
import { violations } from './support/contract';

const HOST = 'Host: localhost\r\nConnection: close\r\n';
const API = '/api/v1';

/** Names of the members of `Object.prototype`, before anything was asked. */
const UNTOUCHED = Reflect.ownKeys(Object.prototype).map(String);

describe('every answer', () => {
  let app: TestApp;
  let person: Person & LoginBody;
  let apiKey: string;
  beforeAll(async () => {
    app = await startApp({ TRUST_PROXY: 'loopback' });
    person = await newcomer(app);
    ({ apiKey } = await createKey(app, person.token));
  });
  afterAll(() => app.close());

  interface Sent {
    method?: string;
    headers?: string[];
    body?: string;
    /** What has to be out of order for it; puts it in order again. */
    given?: () => (() => void) | Promise<() => void>;
    /** Instead of all of it. */
    bytes?: () => string;
  }

  const bearer = () => [`Authorization: Bearer ${person.token}`];
  const flood = async (): Promise<() => void> => {
    for (let time = 0; time < 60; time += 1) {
      const body = '{"apiKey":"sk_live_x"}';
      const headers = { 'content-type': 'application/json', 'x-forwarded-for': '192.0.2.60' };
      await app.fetch(`${API}/auth/keys/report`, { method: 'POST', headers, body });
    }
    return () => undefined;
  };
  const withoutDatabase = (): (() => void) => {
    const dataSource = app.nest.get(DataSource);
    const createQueryRunner = dataSource.createQueryRunner.bind(dataSource);
    dataSource.createQueryRunner = () =>
      ({ connect: () => Promise.reject(new Error('no database')) }) as never;
    return () => void (dataSource.createQueryRunner = createQueryRunner);
  };
  const withDefect = (): (() => void) => {
    const users = app.nest.get(UsersService);
    const profileOf = users.profileOf.bind(users);
    users.profileOf = () => Promise.reject(new Error('a defect of ours'));
    return () => void (users.profileOf = profileOf);
  };

  const login = () => JSON.stringify({ username: person.username, password: person.password });
  const ANSWERS: [name: string, status: number, path: string, sent: () => Sent][] = [
    ['a login', 200, `${API}/auth/login`, () => ({ body: login() })],
    ['a profile', 200, `${API}/users/me`, () => ({ headers: bearer() })],
    ['a profile, HEAD', 200, `${API}/users/me`, () => ({ method: 'HEAD', headers: bearer() })],
    ['an answer without a body', 200, `${API}/auth/verify`, () => ({ headers: bearer() })],
    ['health', 200, '/health/ready', () => ({})],
    ['the API document', 200, '/openapi.json', () => ({})],
    ['the API document in YAML', 200, '/openapi.yaml', () => ({})],
    ['the page', 200, '/docs', () => ({})],
    ['a new key', 201, `${API}/auth/keys`, () => ({ headers: bearer(), body: '{}' })],
    ['a report', 202, `${API}/auth/keys/report`, () => ({ body: '{"apiKey":"x"}' })],
    [
      'nothing to say',
      204,
      `${API}/auth/sessions?keep=current`,
      () => ({ method: 'DELETE', headers: bearer() }),
    ],
    [
      'a preflight',
      204,
      `${API}/auth/login`,
      () => ({
        method: 'OPTIONS',
        headers: ['Origin: http://localhost:5173', 'Access-Control-Request-Method: POST'],
      }),
    ],
    ['the way to the page', 302, '/', () => ({})],
    ['a wrong field', 400, `${API}/auth/login`, () => ({ body: '{"username":1}' })],
    ['broken JSON', 400, `${API}/auth/login`, () => ({ body: '{' })],
    ['two credentials', 400, `${API}/users/me`, () => ({ headers: [...bearer(), 'X-API-Key: x'] })],
    ['a path that cannot be read', 400, `${API}/auth/keys/%ff`, () => ({})],
    ['what is not HTTP', 400, '', () => ({ bytes: () => 'HELLO\r\n\r\n' })],
    [
      'two lengths',
      400,
      '',
      () => ({ bytes: () => `POST / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx` }),
    ],
    ['no credential', 401, `${API}/users/me`, () => ({})],
    ['a wrong password', 401, `${API}/auth/login`, () => ({ body: '{"username":"x","password":"y"}' })],
    [
      'a key where it does not belong',
      403,
      `${API}/auth/keys`,
      () => ({ headers: [`X-API-Key: ${apiKey}`] }),
    ],
    ['an unknown path', 404, '/nowhere', () => ({})],
    ['an unknown path, HEAD', 404, '/nowhere', () => ({ method: 'HEAD' })],
    ['an unknown key', 404, `${API}/auth/keys/key_x`, () => ({ headers: bearer() })],
    ['another method', 405, `${API}/auth/login`, () => ({ method: 'PUT' })],
    ['TRACE', 405, `${API}/users/me`, () => ({ method: 'TRACE', headers: bearer() })],
    [
      'a name that is taken',
      409,
      `${API}/users`,
      () => ({
        body: JSON.stringify({
          username: person.username,
          email: 'a@example.com',
          password: 'nine brass kettles',
        }),
      }),
    ],
    ['too much', 413, `${API}/auth/login`, () => ({ body: `"${'x'.repeat(65_536)}"` })],
    [
      'another media type',
      415,
      `${API}/auth/login`,
      () => ({ headers: ['Content-Type: text/plain'], body: 'x' }),
    ],
    [
      'a flood',
      429,
      `${API}/auth/keys/report`,
      () => ({ headers: ['X-Forwarded-For: 192.0.2.60'], body: '{"apiKey":"x"}', given: flood }),
    ],
    ['20 KiB of headers', 431, '/', () => ({ headers: [`X-Much: ${'x'.repeat(20_000)}`] })],
    ['a defect', 500, `${API}/users/me`, () => ({ headers: bearer(), given: withDefect })],
    ['no database', 503, `${API}/auth/login`, () => ({ body: login(), given: withoutDatabase })],
  ];

  const send = async (
    path: string,
    { method, headers = [], body, given, bytes }: Sent,
    ...more: string[]
  ) => {
    const undo = await given?.();
    const lines = [
      ...[...headers, ...more],
      ...(body !== undefined && !headers.some((line) => line.startsWith('Content-Type'))
        ? ['Content-Type: application/json']
        : []),
      ...(body !== undefined ? [`Content-Length: ${Buffer.byteLength(body)}`] : []),
    ].map((line) => `${line}\r\n`);
    const verb = method ?? (body === undefined ? 'GET' : 'POST');
    const text = bytes?.() ?? `${verb} ${path} HTTP/1.1\r\n${HOST}${lines.join('')}\r\n${body ?? ''}`;
    // What comes behind the body of an answer would be another answer here, or none.
    const answers = verb === 'HEAD' ? [await head(text)] : await sendRaw(app.url, text);
    undo?.();
    expect(answers).toHaveLength(1);
    return answers[0] as RawAnswer;
  };

  /** An answer that says how long its body would be, and has none: what would not be true if there were one. */
  const head = async (text: string): Promise<RawAnswer> => {
    const [, path = ''] = text.split(' ');
    const headers = Object.fromEntries(
      [...text.matchAll(/^(Authorization): (.*)\r$/gm)].map(([, name, value]) => [name, value]),
    ) as Record<string, string>;
    const response = await app.fetch(path, { method: 'HEAD', headers });
    return { status: response.status, headers: [...response.headers], body: await response.text() };
  };

  const named = ANSWERS.map(([name, status, ...rest]): [string, ...typeof rest, number] => [
    `${status} ${name}`,
    ...rest,
    status,
  ]);

  it.each(named)(
    'tells browsers to load, frame, sniff, keep and pass on nothing: %s',
    async (_, path, sent, status) => {
      const answer = await send(path, sent());

      expect(answer.status).toBe(status);
      const page = status === 200 && path === '/docs';
      const policy = headerOf(answer, 'content-security-policy') ?? '';
      for (const part of [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
      ])
        expect(policy).toContain(part);
      if (!page) expect(policy).not.toMatch(/'self'|unsafe|\*/);
      expect(headerOf(answer, 'x-content-type-options')).toBe('nosniff');
      expect(headerOf(answer, 'referrer-policy')).toBe('no-referrer');
      expect(headerOf(answer, 'x-frame-options')).toBe('DENY');
      expect(headerOf(answer, 'cache-control')).toBe(page ? 'no-cache' : 'no-store');
      expect(headerOf(answer, 'cross-origin-resource-policy')).toBe('same-origin');
      for (const name of ['server', 'x-powered-by', 'via', 'x-aspnet-version', 'set-cookie'])
        expect(headerOf(answer, name)).toBeUndefined();
    },
  );

  it.each(named)('is as long as it says, and of the type it says: %s', async (_, path, sent) => {
    const { method } = sent();
    const answer = await send(path, sent());

    const { status, body } = answer;
    const type = headerOf(answer, 'content-type');
    const length = headerOf(answer, 'content-length');
    expect(headerOf(answer, 'transfer-encoding')).toBeUndefined();
    if (status === 204) {
      expect([type, length, body]).toEqual([undefined, undefined, '']);
      return;
    }
    if (method === 'HEAD') {
      expect(body).toBe('');
      expect(Number(length)).toBe(Buffer.byteLength((await send(path, { ...sent(), method: 'GET' })).body));
      return;
    }
    expect(Number(length)).toBe(Buffer.byteLength(body));
    if (body === '') return;
    if (path === '/docs') expect(type).toBe('text/html; charset=utf-8');
    else if (path === '/openapi.yaml') expect(type).toMatch(/yaml; charset=utf-8$/);
    else {
      expect(type).toBe('application/json; charset=utf-8');
      expect(() => JSON.parse(body) as unknown).not.toThrow();
    }
  });

  /** Where the parser or the router gives up nothing is known of the hop. */
  const ofKnownHops = named.filter(
    ([name, path, , status]) =>
      path !== '' && !path.includes('%ff') && status !== 431 && !name.endsWith(', HEAD'),
  );

  it.each(ofKnownHops)(
    'that went over TLS asks for nothing but TLS from now on: %s',
    async (_, path, sent) => {
      const secure = await send(path, sent(), 'X-Forwarded-Proto: https');
      const plain = await send(path, sent(), 'X-Forwarded-Proto: http');

      expect(headerOf(secure, 'strict-transport-security')).toBe('max-age=31536000; includeSubDomains');
      expect(headerOf(secure, 'cross-origin-opener-policy')).toBe('same-origin');
      expect(headerOf(plain, 'strict-transport-security')).toBeUndefined();
    },
  );

  it.each(['image/png', 'application/problem+json', '*/*;q=0'])(
    'that is a success is given to whoever accepts %s as well: never 406',
    async (accept) => {
      const answer = await send(`${API}/users/me`, { headers: bearer() }, `Accept: ${accept}`);

      expect([answer.status, headerOf(answer, 'content-type')]).toEqual([
        200,
        'application/json; charset=utf-8',
      ]);
      expect(JSON.parse(answer.body)).toMatchObject({ username: person.username });
    },
  );

  it('leads nowhere else, but for the way to the page', async () => {
    for (const [, path, sent, status] of named) {
      const answer = await send(path, sent(), 'X-Forwarded-Host: evil.example', 'X-Forwarded-Proto: http');

      expect([path, headerOf(answer, 'location')]).toEqual([path, status === 302 ? '/docs' : undefined]);
      expect(JSON.stringify(answer)).not.toContain('evil.example');
    }
  });

  it('is one that the API document describes, field by field', () => {
    const url = `${app.url}${API}/users/me`;
    const profile = {
      ...{ id: person.id, username: person.username, email: person.email },
      createdAt: '2026-03-14T09:26:53Z',
    };
    const answer = (body: object) => ({
      status: 200,
      headers: new Headers({
        'content-type': 'application/json; charset=utf-8',
        'x-request-id': 'req_01k9v3cde8f2mreav4z6w2x5td',
      }),
      body,
    });

    // So every call of every test is held against it, and a field too many would be found.
    expect(violations('GET', url, answer(profile))).toEqual([]);
    expect(violations('GET', url, answer({ ...profile, passwordHash: 'x' }))).not.toEqual([]);
    expect(violations('GET', url, answer({ ...profile, email: undefined }))).not.toEqual([]);
  });

  it('leaves the prototype of all objects as it was', async () => {
    const members = '"polluted":true,"toString":"x"';
    const bodies = [`{"__proto__":{${members}}}`, `{"constructor":{"prototype":{${members}}}}`];

    for (const body of bodies) {
      for (const path of ['/users', '/auth/login', '/auth/refresh', '/auth/keys', '/auth/introspect']) {
        const answer = await app.call('POST', path, { body, token: person.token });
        expect([path, answer.status >= 400 && answer.status < 500]).toEqual([path, true]);
      }
    }

    expect('polluted' in {}).toBe(false);
    expect(Reflect.ownKeys(Object.prototype).map(String)).toEqual(UNTOUCHED);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });

  it('has lines in the log that are of one form: level, time in UTC, words, and no secret', () => {
    expect(app.logged.length).toBeGreaterThan(100);
    for (const line of app.logged) {
      expect(line).toMatchObject({
        level: expect.stringMatching(/^(trace|debug|info|warn|error|fatal)$/) as string,
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
        msg: expect.any(String) as string,
      });
      expect(Math.abs(Date.parse(line['time'] as string) - Date.now())).toBeLessThan(600_000);
    }
    const requests = app.logged.filter(({ msg }) => msg === 'request');
    expect(requests.length).toBeGreaterThan(20);
    expect(issued.size).toBeGreaterThan(3);
    expect(issued.foundIn(app.written.join(''))).toEqual([]);
    for (const line of requests)
      expect(Object.keys(line).sort()).toEqual(
        [...['level', 'method', 'milliseconds', 'msg', 'requestId', 'route', 'status', 'time']].filter(
          (name) => name !== 'route' || 'route' in line,
        ),
      );
  });
});

describe('a request', () => {
  let app: TestApp;
  // Nobody listens there.
  beforeAll(async () => {
    app = await startApp({ BREACHED_PASSWORDS_URL: 'http://127.0.0.1:9/range/' });
    // What goes on behind the requests' backs belongs to none of them, and fails too while a table is hidden.
    await quiet(app);
  });
  afterAll(() => app.close());

  it('has its id in every line of the log that it causes', async () => {
    const before = app.logged.length;
    const person = await signUp(app);
    const { token } = await logIn(app, person);
    await app.call('GET', '/users/me', { token });
    await app.call('GET', '/users/me', { token: 'none' });
    await app.call('POST', '/auth/login', { body: {} });
    await app.fetch('/nowhere');
    const refused = '$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA';
    await app.inDatabase((tx) => tx.update('User', { id: person.id }, { passwordHash: refused }));
    await app.call('POST', '/auth/login', { body: { username: person.username, password: person.password } });
    await app.inDatabase((tx) => tx.query('ALTER TABLE users RENAME TO users_hidden'));
    await app.call('POST', '/auth/login', { body: { username: 'x', password: 'y' } });
    await app.inDatabase((tx) => tx.query('ALTER TABLE users_hidden RENAME TO users'));

    const caused = app.logged.slice(before);
    expect(caused.map(({ msg }) => msg)).toEqual(
      expect.arrayContaining([
        'request',
        'The breached-password service did not answer as it should; a password was accepted without it',
        'A stored password hash is refused',
        'Service temporarily unavailable',
        'Not found',
      ]),
    );
    expect(caused.filter(({ requestId }) => !/^req_\w{26}$/.test(String(requestId)))).toEqual([]);
  });
});

describe('an account', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ RATE_LIMITS: 'off' })));
  afterAll(() => app.close());

  it('is in a new database only when somebody has made it, and no usual name and password open it', async () => {
    expect(await app.rows('SELECT id FROM users')).toEqual([]);

    const usual = ['admin', 'root', 'test', 'guest', 'user', 'demo', 'jane.doe', 'latchkey', 'operator'];
    const opened = async (): Promise<string[][]> => {
      const pairs: string[][] = [];
      for (const username of usual) {
        for (const password of ['', username, 'password', 'admin', '123456', 'tidal-lantern-47-orchid']) {
          const { status } = await app.call('POST', '/auth/login', { body: { username, password } });
          if (status !== 401) pairs.push([username, password, `${status}`]);
        }
      }
      return pairs;
    };
    const inNew = await opened();
    // Nor once there are accounts of these names, but for the one whose owner has taken the password of the examples.
    for (const username of usual) {
      await signUp(app, {
        username,
        ...(username === 'jane.doe' && { password: 'tidal-lantern-47-orchid' }),
      });
    }
    const inUse = await opened();

    expect(inNew).toEqual([]);
    expect(inUse).toEqual([['jane.doe', 'tidal-lantern-47-orchid', '200']]);
  });

  it('keeps its password for as long as nobody changes it', async () => {
    const person = await signUp(app);
    app.clock.advance(10 * 365 * 24 * 3600);

    expect((await logIn(app, person)).user.id).toBe(person.id);
  });

  it('with the longest name and the most scopes has a token that fits into any header', async () => {
    const person = await signUp(app, { username: 'n'.repeat(64) });
    const scopes = Array.from(
      { length: 32 },
      (_, index) => `${'r'.repeat(29)}${index.toString().padStart(2, '0')}:${'a'.repeat(31)}`,
    ).join(' ');
    await app.inDatabase((tx) => tx.update('User', { id: person.id }, { scopes }));

    const { token, refreshToken } = await logIn(app, person);

    expect(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).toContain(scopes);
    expect(`Authorization: Bearer ${token}`.length).toBeLessThan(4096);
    expect(refreshToken.length).toBeLessThan(256);
    expect((await app.call('GET', '/users/me', { token })).status).toBe(200);
  });
});
