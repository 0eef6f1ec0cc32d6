import { connect } from 'node:net';
import { describeError, type LoggedError } from '../src/core/logged-error';
import { User } from '../src/users/user.entity';
import { UsersService } from '../src/users/users.service';
import { startApp, type TestApp } from './support/app';
import { onMysql } from './support/database';
import { newcomer } from './support/people';
import { issued } from './support/secret-watch';

const json = { 'content-type': 'application/json' };

describe('errors', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  /** An answer as [status, code, body]. */
  const answer = async (path: string, init?: RequestInit) => {
    const response = await app.fetch(path, init);
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(response.headers.get('x-request-id')).toMatch(/^req_\w{26}$/);
    expect(response.headers.get('cache-control')).toBe('no-store');
    return [response.status, response.headers.get('x-error-code'), await response.json()];
  };

  /** What the server says to bytes that need not be HTTP. */
  const raw = (bytes: string): Promise<string> =>
    new Promise((resolve, reject) => {
      let received = '';
      const socket = connect(Number(new URL(app.url).port), '127.0.0.1', () => socket.write(bytes));
      socket.on('data', (chunk) => (received += chunk.toString()));
      socket.on('close', () => resolve(received));
      socket.on('error', reject);
    });

  it.each([
    '/nowhere',
    '/api/v1',
    '/api/v1/nowhere',
    '/api/v1/auth/login/',
    '/API/v1/auth/login',
    '/api/v2/auth/login',
  ])('answers 404 for %s', async (path) => {
    expect(await answer(path)).toEqual([404, 'not_found', { error: 'Not found' }]);
  });

  it('answers OPTIONS that is no preflight like any other method', async () => {
    expect(await answer('/api/v1/auth/login', { method: 'OPTIONS' })).toEqual([
      405,
      'method_not_allowed',
      { error: 'Method not allowed' },
    ]);
    expect(await answer('/nowhere', { method: 'OPTIONS' })).toEqual([
      404,
      'not_found',
      { error: 'Not found' },
    ]);
  });

  it('answers 405 with the methods that a path has', async () => {
    const response = await app.fetch('/api/v1/auth/login');

    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST']);
    expect(await answer('/api/v1/auth/login')).toEqual([
      405,
      'method_not_allowed',
      { error: 'Method not allowed' },
    ]);
    const keys = await app.fetch('/api/v1/auth/keys/key_1/rotate', { method: 'PUT' });
    expect([keys.status, keys.headers.get('allow')]).toEqual([405, 'POST']);
    const profile = await app.fetch('/api/v1/users/me', { method: 'POST' });
    expect([profile.status, profile.headers.get('allow')]).toEqual([405, 'GET, HEAD, PATCH, DELETE']);
  });

  it.each([
    ['an unfinished object', '{"username":'],
    ['a trailing comma', '{"username":"a","password":"b",}'],
    ['single quotes', "{'username':'a'}"],
    ['a prototype', '{"__proto__":{"admin":true},"username":"a","password":"b"}'],
    ['a constructor with a prototype', '{"constructor":{"prototype":{"admin":true}}}'],
    ['bytes that are not UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ])('answers 400 for %s', async (_, body) => {
    expect(await answer('/api/v1/auth/login', { method: 'POST', headers: json, body })).toEqual([
      400,
      'malformed_json',
      { error: 'The request body is not valid JSON' },
    ]);
  });

  it.each(['[]', '"text"', '1', 'null', 'true', '[{"username":"a","password":"b"}]'])(
    'answers 400 for a body that is not an object: %s',
    async (body) => {
      const [status, code, refusal] = await answer('/api/v1/auth/login', {
        method: 'POST',
        headers: json,
        body,
      });

      expect([status, code]).toEqual([400, 'validation_failed']);
      expect(refusal).toMatchObject({ details: [{ rule: 'isObject' }] });
    },
  );

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/json5',
    'text/plain; application/json',
  ])('answers 415 for a body of type %s', async (type) => {
    const init = {
      method: 'POST',
      headers: { 'content-type': type },
      body: '{"username":"a","password":"b"}',
    };

    expect(await answer('/api/v1/auth/login', init)).toEqual([
      415,
      'unsupported_media_type',
      { error: 'Unsupported media type, send application/json' },
    ]);
  });

  it('takes JSON with parameters behind its media type', async () => {
    const response = await app.fetch('/api/v1/auth/login', {
      method: 'POST',
      headers: { 'content-type': 'Application/JSON; charset=UTF-8' },
      body: '{"username":"nobody","password":"b"}',
    });

    expect(response.status).toBe(401);
  });

  it('answers 413 for a body of more than 64 KiB', async () => {
    const body = (size: number) =>
      JSON.stringify({ refreshToken: 'x'.repeat(size - '{"refreshToken":""}'.length) });
    const send = (size: number) =>
      app.fetch('/api/v1/auth/refresh', { method: 'POST', headers: json, body: body(size) });

    expect((await send(65_536)).status).toBe(401);
    expect((await send(65_537)).status).toBe(413);
    expect(
      await answer('/api/v1/auth/refresh', { method: 'POST', headers: json, body: body(65_537) }),
    ).toEqual([413, 'payload_too_large', { error: 'The request body is too large' }]);
  });

  it('answers 400 for a path that cannot be decoded', async () => {
    expect(await answer('/api/v1/auth/keys/%ff')).toEqual([
      400,
      'bad_request',
      { error: 'The request is malformed' },
    ]);
  });

  it.each<[string, number, string, string, RequestInit]>([
    ['an unknown path', 404, 'not_found', '/nowhere', {}],
    ['another method', 405, 'method_not_allowed', '/api/v1/auth/login', {}],
    ['a path that cannot be decoded', 400, 'bad_request', '/api/v1/auth/keys/%ff', {}],
    [
      'another media type',
      415,
      'unsupported_media_type',
      '/api/v1/auth/login',
      { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' },
    ],
  ])('comes as problem details for %s too', async (_, status, code, path, init) => {
    const headers = { ...init.headers, accept: 'application/problem+json' };

    const response = await app.fetch(path, { ...init, headers });

    expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    expect([response.status, await response.json()]).toEqual([
      status,
      expect.objectContaining({ status, code, requestId: response.headers.get('x-request-id') }),
    ]);
  });

  it.each([
    ['not HTTP', 'HELLO\r\n\r\n', 400, 'bad_request'],
    ['a broken header', 'GET / HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n', 400, 'bad_request'],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
      400,
      'bad_request',
    ],
    [
      '20 KiB of headers',
      `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
  ])('answers %s in the same shape', async (_, bytes, status, code) => {
    const received = await raw(bytes);

    expect(received).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(received).toContain(`x-error-code: ${code}\r\n`);
    expect(JSON.parse(received.slice(received.indexOf('\r\n\r\n') + 4))).toEqual({
      error: expect.any(String) as string,
    });
  });

  it('comes as problem details for who prefers them', async () => {
    const response = await app.fetch('/api/v1/auth/login', {
      method: 'POST',
      headers: { ...json, accept: 'application/problem+json' },
      body: '{"username":1,"password":"b"}',
    });

    expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    expect(await response.json()).toEqual({
      type: 'about:blank',
      title: 'Bad Request',
      status: 400,
      detail: 'The request is not valid',
      code: 'validation_failed',
      requestId: response.headers.get('x-request-id'),
      errors: expect.arrayContaining([
        { field: 'username', rule: 'isString', message: 'username must be a string' },
      ]) as unknown[],
    });
  });

  it.each([
    ['application/json, application/problem+json', 'application/problem+json;q=0.5, application/json'],
    ['anything', '*/*'],
    ['something else', 'text/html'],
    ['more than is worth reading', `${'text/plain, '.repeat(50)}application/problem+json`],
  ])('comes as plain JSON for who accepts %s', async (_, accept) => {
    const { headers } = await app.fetch('/nowhere', { headers: { accept } });

    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
  });

  it('of ours is 500, without a word about the inside, and in the log with the request id', async () => {
    const { token } = await newcomer(app);
    const users = app.nest.get(UsersService);
    const profileOf = users.profileOf.bind(users);
    users.profileOf = () => Promise.reject(new Error('SECRET detail of the inside'));
    const response = await app.fetch('/api/v1/users/me', { headers: { authorization: `Bearer ${token}` } });
    users.profileOf = profileOf;

    expect(response.status).toBe(500);
    expect(await response.text()).toBe('{"error":"Internal server error"}');
    const line = app.logged.find(({ requestId }) => requestId === response.headers.get('x-request-id'));
    expect(line).toMatchObject({ level: 'error', code: 'internal_error' });
    expect(JSON.stringify(line)).toContain('SECRET detail of the inside');
  });

  it('of the database is 503 with Retry-After, without a word about SQL', async () => {
    await app.inDatabase((tx) => tx.query('ALTER TABLE users RENAME TO users_hidden'));
    const response = await app.fetch('/api/v1/auth/login', {
      method: 'POST',
      headers: json,
      body: '{"username":"jane","password":"b"}',
    });
    await app.inDatabase((tx) => tx.query('ALTER TABLE users_hidden RENAME TO users'));

    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await response.text()).toBe('{"error":"Service temporarily unavailable"}');
    expect(response.headers.get('x-error-code')).toBe('service_unavailable');
  });

  it('of the database that quotes what it was given is written without it', async () => {
    const person = await newcomer(app);
    const twice = app.inDatabase(async (tx) => {
      const user = await tx.findOneByOrFail(User, { id: person.id });
      await tx.insert(User, { ...user, id: 'user_01k9v3cde8f2mreav4z6w2x5td' });
    });

    const written = describeError(await twice.catch((error: unknown) => error));

    expect(written).toMatchObject({ type: 'QueryFailedError', errno: onMysql ? 1062 : 2067 });
    for (const value of [person.username, person.email, '$argon2id$'])
      expect(JSON.stringify(written)).not.toContain(value);
  });

  it('leaves no trace of polluted prototypes', () => {
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined();
  });
});

describe('an error', () => {
  let app: TestApp;
  beforeEach(async () => (app = await startApp({ RATE_LIMITS: 'off' })));
  afterEach(() => app.close());

  it('of the database is in the log with its code, and without what somebody typed, be it a password as a name', async () => {
    const typed = 'tidal lantern, 47 orchids';
    // So it is looked for at the end too, in whatever form.
    issued.note({ password: typed });
    await app.inDatabase((tx) => tx.query('ALTER TABLE users RENAME TO users_hidden'));
    const response = await app.fetch('/api/v1/auth/login', {
      method: 'POST',
      headers: json,
      body: JSON.stringify({ username: typed, password: 'b' }),
    });
    await app.inDatabase((tx) => tx.query('ALTER TABLE users_hidden RENAME TO users'));

    expect(response.status).toBe(503);
    const line = app.logged.find(({ requestId }) => requestId === response.headers.get('x-request-id'));
    const { err } = line as { err: LoggedError };
    expect(err).toMatchObject({
      type: 'QueryFailedError',
      message: expect.stringContaining('users') as string,
    });
    expect(err.stack).toContain('    at ');
    expect(['type', 'message', 'stack', 'code', 'errno']).toEqual(expect.arrayContaining(Object.keys(err)));
    expect(app.written.join('')).not.toContain('orchids');
  });

  it('of the database that many calls meet is one line a second, and the number of the others', async () => {
    const login = () =>
      app.fetch('/api/v1/auth/login', {
        method: 'POST',
        headers: json,
        body: '{"username":"x","password":"b"}',
      });
    const linesOf = (message: string) =>
      app.logged.filter(({ level, msg }) => level === 'error' && msg === message);

    await app.inDatabase((tx) => tx.query('ALTER TABLE users RENAME TO users_hidden'));
    const begun = performance.now();
    const answers = await Promise.all(Array.from({ length: 60 }, login));
    const seconds = (performance.now() - begun) / 1000;
    await app.inDatabase((tx) => tx.query('ALTER TABLE users_hidden RENAME TO users'));
    await app.logs('Other calls have failed for the same reason');

    expect(answers.map(({ status }) => status)).toEqual(Array(60).fill(503));
    const told = linesOf('Service temporarily unavailable');
    expect(told.length).toBeGreaterThan(0);
    expect(told.length).toBeLessThanOrEqual(1 + seconds);
    expect(told[0]).toMatchObject({
      code: 'service_unavailable',
      err: { stack: expect.any(String) as string },
    });
    // Each is found by its request id all the same, by who looks closer.
    const ids = new Set(
      app.logged.filter(({ code }) => code === 'service_unavailable').map(({ requestId }) => requestId),
    );
    for (const { headers } of answers) expect(ids).toContain(headers.get('x-request-id'));
    if (told.length === 1) {
      expect(linesOf('Other calls have failed for the same reason')).toEqual([
        expect.objectContaining({ code: 'service_unavailable', others: 59 }),
      ]);
    }
  });
});

describe('a defect', () => {
  it('that many calls meet is one line a second for its route, and the number of the others', async () => {
    const app = await startApp();
    const { token } = await newcomer(app);
    app.nest.get(UsersService).profileOf = () => Promise.reject(new Error('a defect'));
    const call = () => app.fetch('/api/v1/users/me', { headers: { authorization: `Bearer ${token}` } });

    const begun = performance.now();
    const answers = await Promise.all(Array.from({ length: 60 }, call));
    const seconds = (performance.now() - begun) / 1000;
    await app.logs('Other calls have failed for the same reason');
    const told = app.logged.filter(({ level, code }) => level === 'error' && code === 'internal_error');
    await app.close();

    expect(answers.map(({ status }) => status)).toEqual(Array(60).fill(500));
    expect(told.length).toBeLessThanOrEqual(2 * (1 + seconds));
    expect(told.at(-1)).toMatchObject({ route: '/api/v1/users/me' });
  });
});

describe('every answer', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ TRUST_PROXY: '1' })));
  afterAll(() => app.close());

  it.each(['/health/live', '/api/v1/users/me', '/nowhere', '/docs', '/openapi.json'])(
    'at %s tells browsers to load, frame and sniff nothing',
    async (path) => {
      const { headers } = await app.fetch(path);

      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('x-powered-by')).toBeNull();
      expect(headers.get('server')).toBeNull();
      expect(headers.get('x-request-id')).toMatch(/^req_\w{26}$/);
    },
  );

  it('asks for TLS from now on where it came over TLS, and only there', async () => {
    const plain = await app.fetch('/health/live');
    const secure = await app.fetch('/health/live', { headers: { 'x-forwarded-proto': 'https' } });

    expect(plain.headers.get('strict-transport-security')).toBeNull();
    expect(secure.headers.get('strict-transport-security')).toBe('max-age=31536000; includeSubDomains');
  });

  it('has a request id of its own, whatever the caller sends', async () => {
    const { headers } = await app.fetch('/health/live', { headers: { 'x-request-id': 'mine' } });

    expect(headers.get('x-request-id')).toMatch(/^req_/);
  });
});

describe('CORS', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const allowedOrigin = async (origin: string): Promise<string | null> =>
    (await app.fetch('/api/v1/users/me', { headers: { origin } })).headers.get('access-control-allow-origin');

  it('lets pages of any localhost origin call outside production', async () => {
    for (const origin of [
      'http://localhost:5173',
      'http://127.0.0.1:8080',
      'https://localhost',
      'http://[::1]:3000',
    ]) {
      expect(await allowedOrigin(origin)).toBe(origin);
    }
    for (const origin of [
      'http://localhost.evil.example',
      'http://evil.example',
      'null',
      'http://localhost:1@evil.example',
    ]) {
      expect(await allowedOrigin(origin)).toBeNull();
    }
  });

  it('lets nobody call in production unless configured', async () => {
    await app.restart({ NODE_ENV: 'production' });
    expect(await allowedOrigin('http://localhost:5173')).toBeNull();

    await app.restart({
      NODE_ENV: 'production',
      CORS_ORIGINS: 'https://app.example.com, https://www.example.com',
    });

    expect(await allowedOrigin('https://app.example.com')).toBe('https://app.example.com');
    for (const origin of [
      'https://app.example.com:444',
      'http://app.example.com',
      'https://xapp.example.com',
      'https://app.example.com.evil.example',
      'https://app.example.comevil.example',
      'https://APP.example.com',
      'https://app.example.com/',
      'https://app.example.com, https://evil.example',
      'https://user@app.example.com',
      'http://localhost',
      'null',
      '*',
    ]) {
      expect(await allowedOrigin(origin)).toBeNull();
    }
    await app.restart();
  });

  it('lets apps in a web view and extensions call whose origins are configured, and no others', async () => {
    const origins = [
      'capacitor://localhost',
      'ionic://localhost',
      'tauri://localhost',
      'chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb',
      'moz-extension://4f0a5c1e-91b2-4f2b-a7d1-3d1b4a0c7f10',
    ];
    await app.restart({ NODE_ENV: 'production', CORS_ORIGINS: origins.join(',') });

    for (const origin of origins) expect(await allowedOrigin(origin)).toBe(origin);
    for (const origin of [
      'capacitor://localhost:1',
      'capacitor://localhost.evil.example',
      'chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllclec',
      'http://localhost',
      'null',
    ]) {
      expect(await allowedOrigin(origin)).toBeNull();
    }
    await app.restart();
  });

  it('answers a preflight and lets pages read what they need', async () => {
    const preflight = await app.fetch('/api/v1/auth/refresh', {
      method: 'OPTIONS',
      headers: {
        origin: 'http://localhost:5173',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type,idempotency-key,traceparent,tracestate',
      },
    });
    const { headers } = await app.fetch('/api/v1/users/me', { headers: { origin: 'http://localhost:5173' } });

    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-headers')?.split(', ')).toEqual([
      'Authorization',
      'Content-Type',
      'Idempotency-Key',
      'X-API-Key',
      'traceparent',
      'tracestate',
    ]);
    expect(preflight.headers.get('access-control-allow-methods')).toBe('GET, POST, PATCH, DELETE');
    expect(headers.get('access-control-expose-headers')?.split(', ')).toEqual([
      'X-Error-Code',
      'X-Request-Id',
      'Retry-After',
      'WWW-Authenticate',
      'RateLimit',
      'RateLimit-Policy',
      'Deprecation',
      'Sunset',
    ]);
    expect(headers.get('access-control-allow-credentials')).toBeNull();
    expect(headers.get('vary')).toBe('Origin');
  });

  it('lets pages read errors too, of unknown paths and methods as well', async () => {
    const origin = 'http://localhost:5173';
    for (const [method, path] of [
      ['GET', '/nowhere'],
      ['PUT', '/api/v1/users/me'],
      ['GET', '/api/v1/users/me'],
    ]) {
      const { headers } = await app.fetch(path as string, { method: method as string, headers: { origin } });

      expect(headers.get('access-control-allow-origin')).toBe(origin);
      expect(headers.get('access-control-expose-headers')).toContain('X-Error-Code');
    }
  });

  it('takes no other OPTIONS for a preflight', async () => {
    const unasked = await app.fetch('/api/v1/users/me', { method: 'OPTIONS' });
    const halfAsked = await app.fetch('/api/v1/users/me', {
      method: 'OPTIONS',
      headers: { origin: 'http://localhost:5173' },
    });
    const nowhere = await app.fetch('/nowhere', { method: 'OPTIONS' });

    for (const response of [unasked, halfAsked]) {
      expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD, PATCH, DELETE']);
      expect(await response.json()).toEqual({ error: 'Method not allowed' });
    }
    expect([nowhere.status, await nowhere.json()]).toEqual([404, { error: 'Not found' }]);
  });
});
