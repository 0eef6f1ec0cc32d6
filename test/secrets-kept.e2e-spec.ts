import { startApp, type TestApp } from './support/app';
import { KeptConnection } from './support/kept-connection';
import { createKey, logIn, newcomer, signUp } from './support/people';
import { sendRaw } from './support/raw-http';
import { issued, SecretWatch } from './support/secret-watch';
import { Program, runCommand, settingsFor } from './support/server-process';

const PASSWORD = 'canary-password-6dKq0"\\é-vermilion';
const NEXT_PASSWORD = 'canary-password-p19Xw-ultramarine';

interface SecretCall {
  path: string;
  headers: Record<string, string>;
  body: Record<string, string>;
}

/** A request as it goes over the wire. */
function bytesOf(path: string, headers: Record<string, string>, body: object): string {
  const text = JSON.stringify(body);
  const lines = Object.entries({
    ...{ Host: 'localhost', Connection: 'close', 'Content-Type': 'application/json' },
    ...{ 'Content-Length': Buffer.byteLength(text), ...headers },
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST /api/v1${path} HTTP/1.1\r\n${lines.join('')}\r\n${text}`;
}

describe('what grants access', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ LOG_LEVEL: 'trace' })));
  afterAll(() => app.close());

  it('is in no log line and in no column, whatever is done with it', async () => {
    const person = await signUp(app, { password: PASSWORD });
    const first = await logIn(app, person);
    const { apiKey, keyId } = await createKey(app, first.token);
    const { body: second } = await app.call<{ token: string; refreshToken: string }>(
      'POST',
      '/auth/refresh',
      {
        body: { refreshToken: first.refreshToken },
        headers: { 'idempotency-key': 'canary-idempotency-key-0123456789' },
      },
    );
    const used = [
      // Right uses, wrong ones, and ones in the wrong place.
      await app.call('GET', '/users/me', { token: second.token }),
      await app.call('GET', '/users/me', { key: apiKey }),
      await app.call('GET', '/users/me', { token: apiKey }),
      await app.call('GET', '/users/me', { key: second.token }),
      await app.call('GET', '/users/me', { token: second.token, key: apiKey }),
      await app.call('GET', `/users/me?token=${second.token}&api_key=${apiKey}`),
      await app.call('POST', '/auth/login', {
        body: { username: person.username, password: `${PASSWORD}x` },
      }),
      await app.call('POST', '/auth/login', {
        body: { username: 'x', password: PASSWORD, refreshToken: second.refreshToken },
      }),
      await app.call('POST', '/auth/login', { body: `{"username":"x","password":"${NEXT_PASSWORD}"` }),
      await app.call('POST', '/auth/refresh', { body: { refreshToken: `${second.refreshToken}x` } }),
      await app.call('DELETE', `/auth/keys/${apiKey}`, { token: second.token }),
      await app.call('DELETE', `/auth/sessions/${second.refreshToken}`, { token: second.token }),
      await app.call('POST', '/users/me/password', {
        token: second.token,
        body: { currentPassword: PASSWORD, newPassword: NEXT_PASSWORD },
      }),
      // A replaced token after its time: theft.
      (app.clock.advance(60),
      await app.call('POST', '/auth/refresh', { body: { refreshToken: first.refreshToken } })),
      await app.call('DELETE', `/auth/keys/${keyId}`, { token: second.token }),
    ];
    expect(new Set(used.map(({ status }) => status))).toEqual(new Set([200, 400, 401, 204, 404]));
    const watch = new SecretWatch();
    for (const secret of [
      PASSWORD,
      NEXT_PASSWORD,
      first.token,
      first.refreshToken,
      second.token,
      second.refreshToken,
      apiKey,
    ]) {
      watch.note({ password: secret });
      // The parts that matter by themselves: a signature, a body of random characters.
      watch.note({ password: secret.slice(-40) });
    }
    watch.note({ password: 'canary-idempotency-key-0123456789' });

    const stored = await app.database.dump();

    expect(watch.size).toBeGreaterThan(10);
    expect(watch.foundIn(app.written.join(''))).toEqual([]);
    expect(watch.foundIn(stored)).toEqual([]);
    expect(stored).toContain(person.username);
  });

  it('is looked for in every other test too, and would be found', async () => {
    const { password, token } = await newcomer(app);
    app.nest.getHttpAdapter().getInstance().log.error({ password }, 'a careless line');

    expect(issued.foundIn(app.written.join(''))).toEqual([password]);
    expect(issued.foundIn(`…${token}…`)).toEqual([token]);
    app.written.pop();
  });

  it.each<[string, (call: SecretCall) => Promise<unknown>]>([
    ['by fetch', ({ path, headers, body }) => app.call('POST', path, { headers, body })],
    [
      'over a connection that is kept',
      async ({ path, headers, body }) => {
        const connection = new KeptConnection(app.url);
        await connection.ask('POST', `/api/v1${path}`, headers, body);
        connection.close();
      },
    ],
    ['byte by byte', ({ path, headers, body }) => sendRaw(app.url, bytesOf(path, headers, body))],
  ])('is looked for whichever way it is sent: %s', async (way, send) => {
    const username = `canary ${way}`.replaceAll(' ', '-');
    const email = `${username}@example.com`;
    const [password, retryKey] = [`vermilion and ultramarine ${way}`, `canary-key-of-${username}`];
    const refused = `ultramarine and vermilion ${way}`;

    await send({ path: '/users', headers: {}, body: { username, email, password } });
    await send({ path: '/users', headers: {}, body: { username, email, password: refused } });
    const known = issued.foundIn(`${refused} ${password}`);
    const { refreshToken } = await logIn(app, { username, password });
    await send({ path: '/auth/refresh', headers: { 'idempotency-key': retryKey }, body: { refreshToken } });

    expect(known).toEqual([password]);
    expect(issued.foundIn(retryKey)).toEqual([retryKey]);
  });

  it('is looked for when an operator types it, as soon as it was accepted', async () => {
    const create = ['user', 'create', '--username', 'typed-canary', '--email', 'typed@example.com'];
    const typing = (words: string[], password: string) =>
      runCommand('latchkey', words, settingsFor(app.database), password);
    const [first, refused, second] = ['typed vermilion', 'refused cobalt', 'typed ultramarine'];

    await typing(create, first);
    await typing(create, refused);
    await typing(['user', 'set-password', 'typed-canary'], `${second}\n`);

    expect(issued.foundIn(`${first} ${refused} ${second}`)).toEqual([first, second]);
  });

  it.each<[string, (secret: string) => string]>([
    ['as JSON', (secret) => JSON.stringify(JSON.stringify({ secret }))],
    ['in a URL', (secret) => `/search?q=${encodeURIComponent(`a ${secret}`)}`],
    ['in a form', (secret) => new URLSearchParams({ secret }).toString()],
    ['as hex', (secret) => Buffer.from(`x${secret}`).toString('hex')],
    ['as HEX', (secret) => Buffer.from(secret).toString('hex').toUpperCase()],
    ['as base64', (secret) => Buffer.from(secret).toString('base64')],
    ['as base64url', (secret) => Buffer.from(secret).toString('base64url')],
    ['as Basic credentials', (secret) => Buffer.from(`jane:${secret}`).toString('base64')],
    ['as base64 behind two bytes', (secret) => Buffer.from(`ab${secret}.`).toString('base64url')],
  ])('would also be found %s', (_, write) => {
    const watch = new SecretWatch();
    const secret = 'seven~ketÿtles??>> over=it';
    watch.note({ password: secret });

    expect(watch.foundIn(`before ${write(secret)} after`)).toEqual([secret]);
    expect(watch.foundIn(`before ${write(secret.slice(0, -2))} after`)).toEqual([]);
  });

  it('would also be found in a binary column, and in what a process writes', async () => {
    const { token } = await newcomer(app);
    await app.rows('CREATE TABLE careless (kept BLOB)');
    // Behind more rows than are searched at a time.
    await app.rows("INSERT INTO careless VALUES ('x')");
    for (let time = 0; time < 14; time += 1) await app.rows('INSERT INTO careless SELECT kept FROM careless');
    await app.rows('INSERT INTO careless VALUES (?)', [Buffer.from(`x${token}`)]);

    await expect(app.database.search()).rejects.toThrow(token);
    await app.rows('DROP TABLE careless');
    await expect(app.database.search()).resolves.toBeUndefined();
    const program = new Program(['--print', 'process.env.KEPT'], { KEPT: token });
    await expect(program.exit()).rejects.toThrow(token);
  });

  it('is in no answer but the one that gives it out, which nobody may store', async () => {
    const person = await newcomer(app);
    const { apiKey } = await createKey(app, person.token);
    const { token } = person;
    const secrets = [person.password, person.refreshToken, token, apiKey];

    for (const path of ['/users/me', '/auth/keys', '/auth/sessions']) {
      const { body, headers } = await app.call('GET', path, { token });

      for (const secret of secrets) expect(JSON.stringify(body)).not.toContain(secret);
      expect(JSON.stringify(body)).not.toMatch(/hash|canonical|credential_?version|nonce|argon2/i);
      expect(headers.get('cache-control')).toBe('no-store');
    }
  });

  it.each([
    '/api/v1/auth/keys/x.css',
    '/api/v1/users/me/x.js',
    '/api/v1/users/me;.js',
    '/api/v1/users/me.png',
  ])('is never taken for a file by a cache: %s', async (path) => {
    const { token } = await newcomer(app);

    const response = await app.fetch(path, { headers: { authorization: `Bearer ${token}` } });

    expect([404, 405]).toContain(response.status);
    expect(response.headers.get('cache-control')).toBe('no-store');
  });
});
