import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { DataSource } from 'typeorm';
import { RevocationFeed } from '../src/revocation/revocation-feed';
import { startApp, type TestApp } from './support/app';
import { createKey, logIn, newcomer, operator } from './support/people';

const IDENTITY = ['user-id', 'username', 'credential', 'credential-id', 'scopes'];

describe('verifying a request for a proxy', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const identityIn = (headers: Headers) =>
    Object.fromEntries(IDENTITY.map((name) => [name, headers.get(`x-auth-${name}`)]));

  const verify = (credential: object, query = '') => app.call('GET', `/auth/verify${query}`, credential);

  const sessionOf = (token: string) =>
    (JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { sid: string }).sid;

  /** Whoever asks for an account, a session or a key meanwhile gets a 503. The revocation feed goes on. */
  const withoutRows = async (work: () => Promise<void>): Promise<void> => {
    const rename = async (from: string, to: string) => {
      for (const table of ['users', 'sessions', 'api_keys', 'api_key_secrets']) {
        await app.inDatabase((tx) => tx.query(`ALTER TABLE ${from}${table} RENAME TO ${to}${table}`));
      }
    };
    await rename('', 'hidden_');
    try {
      await work();
    } finally {
      await rename('hidden_', '');
    }
  };

  it('answers 200 without a body, and says who it is: a signed-in user', async () => {
    const { id, username, token } = await newcomer(app);

    const { status, body, headers } = await verify({ token });

    expect([status, body, headers.get('content-length')]).toEqual([200, undefined, '0']);
    expect(identityIn(headers)).toEqual({
      'user-id': id,
      username,
      credential: 'session',
      'credential-id': sessionOf(token),
      scopes: '*',
    });
  });

  it('answers 200 without a body, and says who it is: a key', async () => {
    const { id, username, token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token, { scopes: ['users:read', 'a:b'] });

    const { status, headers } = await verify({ key: apiKey });

    expect(status).toBe(200);
    expect(identityIn(headers)).toEqual({
      'user-id': id,
      username,
      credential: 'api-key',
      'credential-id': keyId,
      scopes: 'users:read a:b',
    });
  });

  it('asks the database nothing for a token, and nothing for a key seen before', async () => {
    const { token } = await newcomer(app);
    const { apiKey } = await createKey(app, token);
    const unseen = await createKey(app, token);
    await app.clock.suspendedDuring(async () => {
      // What the feed has yet to tell would empty the memory.
      await app.nest.get(RevocationFeed).poll();
      expect((await verify({ key: apiKey })).status).toBe(200);

      await withoutRows(async () => {
        expect((await verify({ token }, '?scope=a:b')).status).toBe(200);
        expect((await verify({ key: apiKey }, '?scope=users:read')).status).toBe(200);
        expect((await verify({ key: apiKey }, '?scope=a:b')).status).toBe(403);
        expect((await verify({ token: `${token}x` })).status).toBe(401);
        expect((await verify({ key: `${apiKey}x` })).status).toBe(401);
        expect((await verify({ key: unseen.apiKey })).status).toBe(503);
      });
    });
  });

  it.each([
    ['', 200],
    ['?scope=a:b', 200],
    ['?scope=a:b%20users:read', 200],
    ['?scope=a:b+users:read', 200],
    ['?scope=a:b&scope=users:read', 200],
    ['?other=c:d', 200],
    ['?scope=c:d', 403],
    ['?scope=a:b%20c:d', 403],
    ['?scope=a:b&scope=c:d', 403],
    ['?scope=', 403],
    ['?scope=*', 403],
    ['?scope=a', 403],
    ['?scope=introspect:all', 403],
    ['?scopes=a:b', 403],
    ['?Scope=a:b', 403],
    ['?scope[]=a:b', 403],
    ['?scope=a:b&SCOPES=a:b', 403],
  ])('lets a key with the scopes a:b and users:read through %p: %i', async (query, expected) => {
    const { token } = await newcomer(app);
    const { apiKey } = await createKey(app, token, { scopes: ['a:b', 'users:read'] });

    const { status, headers } = await verify({ key: apiKey }, query);

    expect(status).toBe(expected);
    if (expected === 403) expect(headers.get('x-error-code')).toBe('scope_missing');
  });

  it.each([
    ['?scope=anything:goes', 200],
    ['?scope=introspect', 200],
    ['?scope=introspect:all', 403],
    ['?scope=', 403],
    ['?scope=nonsense', 403],
  ])('lets a signed-in user through %p: %i', async (query, expected) => {
    const { token } = await newcomer(app);

    expect((await verify({ token }, query)).status).toBe(expected);
  });

  it('lets a signed-in user do no more than an operator lets the account do', async () => {
    const person = await newcomer(app);
    await operator(app).setScopes(person.id, 'a:b', 'c:d');

    const before = await verify({ token: person.token }, '?scope=e:f');
    const { token } = await logIn(app, person);
    const statuses = [];
    for (const scope of ['a:b', 'c:d', 'e:f'])
      statuses.push((await verify({ token }, `?scope=${scope}`)).status);

    expect([before.status, before.headers.get('x-error-code')]).toEqual([401, 'token_revoked']);
    expect(statuses).toEqual([200, 200, 403]);
    expect((await verify({ token })).headers.get('x-auth-scopes')).toBe('a:b c:d');
    expect((await app.call('GET', '/users/me', { token })).status).toBe(200);
  });

  it('gives a signed-in user what an operator has added with the next refresh', async () => {
    const person = await newcomer(app);
    await operator(app).setScopes(person.id, 'a:b');
    const login = await logIn(app, person);
    await operator(app).setScopes(person.id, 'a:b', 'c:d');
    expect((await verify({ token: login.token }, '?scope=c:d')).status).toBe(403);

    const { body } = await app.call<{ token: string }>('POST', '/auth/refresh', {
      body: { refreshToken: login.refreshToken },
    });

    expect((await verify({ token: body.token }, '?scope=c:d')).status).toBe(200);
  });

  it.each<[string, (token: string, apiKey: string) => object]>([
    ['no credential', () => ({})],
    ['a bad token', (token) => ({ token: `${token}x` })],
    ['a bad key', (_, apiKey) => ({ key: `${apiKey}x` })],
    ['two credentials', (token, key) => ({ token, key })],
    ['another scheme', () => ({ headers: { authorization: 'Basic amFuZTpkb2U=' } })],
    ['a key that is no text', () => ({ headers: { 'x-api-key': '' } })],
  ])('answers %s with 401', async (_, credential) => {
    const { token } = await newcomer(app);
    const { apiKey } = await createKey(app, token);

    const { status, body, headers } = await verify(credential(token, apiKey));

    expect([status, body]).toEqual([401, { error: 'Authentication required' }]);
    expect(headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect(Object.values(identityIn(headers))).toEqual([null, null, null, null, null]);
  });

  it('refuses what has been revoked, at once', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    expect((await verify({ key: apiKey })).status).toBe(200);

    await app.call('DELETE', `/auth/keys/${keyId}`, { token });
    await app.call('POST', '/auth/logout', { token });

    expect([(await verify({ token })).status, (await verify({ key: apiKey })).status]).toEqual([401, 401]);
  });

  it('judges the address that a trusted proxy vouches for', async () => {
    const { token } = await newcomer(app);
    const { apiKey } = await createKey(app, token, { allowedIps: ['192.0.2.0/24'] });
    const from = async (address: string) =>
      (await verify({ key: apiKey, headers: { 'x-forwarded-for': address } })).status;
    expect(await from('192.0.2.7')).toBe(401);

    await app.restart({ TRUST_PROXY: 'loopback' });
    const statuses = [await from('192.0.2.7'), await from('198.51.100.7'), await from('::ffff:192.0.2.9')];
    await app.restart();

    expect(statuses).toEqual([200, 401, 200]);
  });

  it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'GET', 'HEAD'])(
    'answers %s like GET, whatever body comes along',
    async (method) => {
      const { token } = await newcomer(app);
      const send = async (headers: Record<string, string>, body: string | Buffer) => {
        const length = headers['transfer-encoding'] ? {} : { 'content-length': Buffer.byteLength(body) };
        const request = httpRequest(`${app.url}/api/v1/auth/verify`, {
          method,
          headers: { ...headers, ...length },
        });
        request.end(body);
        const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage];
        response.resume();
        return response.statusCode;
      };
      const authorization = `Bearer ${token}`;

      const statuses = [
        await send({ authorization, 'content-type': 'application/xml' }, '<xml/>'),
        await send({ authorization, 'content-type': 'application/json' }, '{"broken":'),
        await send({ authorization, 'content-type': 'nonsense' }, 'x'),
        await send({ authorization, 'content-type': 'application/octet-stream' }, Buffer.alloc(200_000)),
        await send({ authorization, 'transfer-encoding': 'chunked' }, 'x'),
        await send({ 'content-type': 'application/xml' }, '<xml/>'),
      ];

      expect(statuses).toEqual([200, 200, 200, 200, 200, 401]);
    },
  );

  it('lets no preflight pass for a request that was let in', async () => {
    const preflight = await app.fetch('/api/v1/auth/verify', {
      method: 'OPTIONS',
      headers: { origin: 'http://localhost:5173', 'access-control-request-method': 'POST' },
    });

    expect(preflight.status).toBe(401);
    expect(preflight.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('answers 503, never anything else, when it cannot know', async () => {
    const { token } = await newcomer(app);
    const { apiKey } = await createKey(app, token);
    const door = app.nest.get<{ createQueryRunner: unknown }>(DataSource);
    const { createQueryRunner } = door;
    door.createQueryRunner = () => {
      throw new TypeError('a defect');
    };

    const { status, headers } = await verify({ key: apiKey });
    door.createQueryRunner = createQueryRunner;

    expect([status, headers.get('x-error-code'), headers.get('retry-after')]).toEqual([
      503,
      'service_unavailable',
      '1',
    ]);
  });

  it('knows an account by its new name once the token or the memory of the key is renewed', async () => {
    const person = await newcomer(app);
    const username = `${person.username}-renamed`;
    await app.call('PATCH', '/users/me', { token: person.token, body: { username } });
    const { body } = await app.call<{ token: string }>('POST', '/auth/refresh', {
      body: { refreshToken: person.refreshToken },
    });

    const names = [];
    for (const { token } of [person, body])
      names.push((await verify({ token })).headers.get('x-auth-username'));

    expect(names).toEqual([person.username, username]);
  });
});
