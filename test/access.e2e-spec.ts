import { createHmac } from 'node:crypto';
import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants';
import { ModulesContainer, Reflector } from '@nestjs/core';
import { ACCESS_POLICY, type AccessPolicy } from '../src/access/decorators';
import { startApp, type TestApp } from './support/app';
import { createKey, logIn, newcomer, signUp, statusWith } from './support/people';

const JWT_SECRET = 'a-secret-for-access-tokens-of-32-bytes-or-more';

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token of any header and claims, signed with our own key unless told otherwise. */
function forge(
  claims: unknown,
  header: unknown = { alg: 'HS256', typ: 'JWT' },
  secret = JWT_SECRET,
  hash = 'sha256',
) {
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${createHmac(hash, secret).update(signed).digest('base64url')}`;
}

describe('access', () => {
  let app: TestApp;
  let genuine: string;
  let claims: Record<string, unknown>;

  beforeAll(async () => {
    app = await startApp({ JWT_SECRET });
    genuine = (await newcomer(app)).token;
    claims = JSON.parse(Buffer.from(genuine.split('.')[1] ?? '', 'base64url').toString()) as Record<
      string,
      unknown
    >;
  });
  afterAll(() => app.close());

  const refusal = async (authorization: string) => {
    const { status, body, headers } = await app.call('GET', '/users/me', { headers: { authorization } });
    return [status, body.error, headers.get('x-error-code'), headers.get('www-authenticate')];
  };

  it('is closed to whoever brings no credential', async () => {
    const { status, body, headers } = await app.call('GET', '/users/me');

    expect([status, body]).toEqual([401, { error: 'Authentication required' }]);
    expect(headers.get('x-error-code')).toBe('authentication_required');
    expect(headers.get('www-authenticate')).toBe('Bearer');
  });

  it('is open on these routes only', () => {
    const reflector = app.nest.get(Reflector);
    const controllers = [...app.nest.get(ModulesContainer).values()].flatMap((module) => [
      ...module.controllers.values(),
    ]);
    const open = controllers.flatMap(({ metatype }) => {
      const { prototype } = metatype as { prototype: Record<string, () => void> };
      return Object.getOwnPropertyNames(prototype).flatMap((name) => {
        const handler = prototype[name] as () => void;
        const method = Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod | undefined;
        const policy = reflector.getAllAndOverride<AccessPolicy>(ACCESS_POLICY, [handler, metatype as never]);
        if (method === undefined || policy?.kind !== 'public') return [];
        const path = [metatype as object, handler].map(
          (part) => Reflect.getMetadata(PATH_METADATA, part) as string,
        );
        return [`${RequestMethod[method]} ${path.join('/')}`];
      });
    });

    expect(open.sort()).toEqual([
      'GET health/live',
      'GET health/ready',
      'POST auth/keys/report//',
      'POST auth/login',
      'POST auth/refresh',
      'POST users//',
    ]);
  });

  it('takes the token in any case of the scheme', async () => {
    expect(
      (await app.call('GET', '/users/me', { headers: { authorization: `bearer ${genuine}` } })).status,
    ).toBe(200);
  });

  it('refuses two credentials at once with 400', async () => {
    const { apiKey } = await createKey(app, genuine);

    const { status, body, headers } = await app.call('GET', '/users/me', { token: genuine, key: apiKey });

    expect([status, body]).toEqual([400, { error: 'Send one credential, a Bearer token or an API key' }]);
    expect(headers.get('x-error-code')).toBe('ambiguous_credentials');
  });

  it.each([
    ['nothing behind the scheme', () => 'Bearer'],
    ['another scheme', () => `Basic ${Buffer.from('jane:doe').toString('base64')}`],
    ['no scheme', () => genuine],
    ['two tokens', () => `Bearer ${genuine} ${genuine}`],
    ['a blank behind', () => `Bearer ${genuine} x`],
    ['padding', () => `Bearer ${genuine}=`],
    ['no signature', () => `Bearer ${genuine.slice(0, genuine.lastIndexOf('.') + 1)}`],
    ['a fourth part', () => `Bearer ${genuine}.x`],
    ['a changed signature', () => `Bearer ${genuine.slice(0, -2)}${genuine.endsWith('AA') ? 'BA' : 'AA'}`],
    [
      'a changed claim',
      () => `Bearer ${genuine.replace(/\.(.)/, (_, first) => `.${first === 'e' ? 'f' : 'e'}`)}`,
    ],
    ['another key', () => `Bearer ${forge(claims, undefined, 'another secret')}`],
    ['an empty key', () => `Bearer ${forge(claims, undefined, '')}`],
    ['alg none', () => `Bearer ${forge(claims, { alg: 'none', typ: 'JWT' })}`],
    ['alg none, unsigned', () => `Bearer ${encode({ alg: 'none', typ: 'JWT' })}.${encode(claims)}.`],
    ['HS512', () => `Bearer ${forge(claims, { alg: 'HS512', typ: 'JWT' }, JWT_SECRET, 'sha512')}`],
    ['members in another order', () => `Bearer ${forge(claims, { typ: 'JWT', alg: 'HS256' })}`],
    ['a kid', () => `Bearer ${forge(claims, { alg: 'HS256', typ: 'JWT', kid: '../../etc/passwd' })}`],
    ['a jku', () => `Bearer ${forge(claims, { alg: 'HS256', typ: 'JWT', jku: 'http://127.0.0.1/keys' })}`],
    ['an unknown crit', () => `Bearer ${forge(claims, { alg: 'HS256', typ: 'JWT', crit: ['x'], x: 1 })}`],
    ['another typ', () => `Bearer ${forge(claims, { alg: 'HS256', typ: 'at+jwt' })}`],
    ['claims that are a list', () => `Bearer ${forge([claims])}`],
    ['claims that are text', () => `Bearer ${forge('claims')}`],
    ['claims that are null', () => `Bearer ${forge(null)}`],
    ['no exp', () => `Bearer ${forge({ ...claims, exp: undefined })}`],
    ['text for exp', () => `Bearer ${forge({ ...claims, exp: '9999999999' })}`],
    ['a fractional exp', () => `Bearer ${forge({ ...claims, exp: (claims['exp'] as number) + 0.5 })}`],
    ['an exp beyond all integers', () => `Bearer ${forge({ ...claims, exp: 1e300 })}`],
    ['a negative iat', () => `Bearer ${forge({ ...claims, iat: -1 })}`],
    ['no iat', () => `Bearer ${forge({ ...claims, iat: undefined })}`],
    ['an iat six seconds ahead', () => `Bearer ${forge({ ...claims, iat: (claims['iat'] as number) + 7 })}`],
    ['an nbf six seconds ahead', () => `Bearer ${forge({ ...claims, nbf: (claims['iat'] as number) + 7 })}`],
    ['text for nbf', () => `Bearer ${forge({ ...claims, nbf: '0' })}`],
    ['no sub', () => `Bearer ${forge({ ...claims, sub: undefined })}`],
    ['a number for sub', () => `Bearer ${forge({ ...claims, sub: 1 })}`],
    ['no sid', () => `Bearer ${forge({ ...claims, sid: undefined })}`],
    ['no jti', () => `Bearer ${forge({ ...claims, jti: undefined })}`],
    ['no auth_time', () => `Bearer ${forge({ ...claims, auth_time: undefined })}`],
    ['a number for the name', () => `Bearer ${forge({ ...claims, preferred_username: 1 })}`],
    ['a list for the scope', () => `Bearer ${forge({ ...claims, scope: ['*'] })}`],
    ['no iss', () => `Bearer ${forge({ ...claims, iss: undefined })}`],
    ['another iss', () => `Bearer ${forge({ ...claims, iss: 'http://localhost:3000/' })}`],
    ['no aud', () => `Bearer ${forge({ ...claims, aud: undefined })}`],
    ['another aud', () => `Bearer ${forge({ ...claims, aud: 'http://localhost:30001' })}`],
    ['a list of aud that holds ours', () => `Bearer ${forge({ ...claims, aud: ['http://localhost:3000'] })}`],
  ])('refuses a token with %s', async (_, authorization) => {
    expect(await refusal(authorization())).toEqual([
      401,
      'Authentication required',
      'token_invalid',
      'Bearer error="invalid_token"',
    ]);
  });

  it('refuses a refresh token in place of an access token', async () => {
    const { refreshToken } = await newcomer(app);

    expect(await refusal(`Bearer ${refreshToken}`)).toContain('token_invalid');
  });

  it('tells an expired token apart, without leeway', async () => {
    const now = Math.ceil(app.clock.now().getTime() / 1000);

    expect(await refusal(`Bearer ${forge({ ...claims, exp: now - 1 })}`)).toContain('token_expired');
    expect(await refusal(`Bearer ${forge({ ...claims, exp: now })}`)).toContain(200);
  });

  it('allows another instance to be five seconds ahead', async () => {
    const ahead = Math.floor(app.clock.now().getTime() / 1000) + 5;

    expect(await refusal(`Bearer ${forge({ ...claims, iat: ahead, nbf: ahead })}`)).toContain(200);
  });

  it('issues tokens with exactly these claims', () => {
    expect(claims).toEqual({
      iss: 'http://localhost:3000',
      aud: 'http://localhost:3000',
      sub: expect.stringMatching(/^user_\w{26}$/) as string,
      sid: expect.stringMatching(/^sess_\w{26}$/) as string,
      jti: expect.stringMatching(/^[\w-]{22}$/) as string,
      iat: 1773480413,
      exp: 1773480413 + 3600,
      auth_time: 1773480413,
      preferred_username: expect.stringMatching(/^person-\d+$/) as string,
    });
  });

  it('issues tokens for the issuer and the audience that are configured', async () => {
    const person = await signUp(app);
    const old = await logIn(app, person);
    await app.restart({ JWT_ISSUER: 'https://auth.example.com', JWT_AUDIENCE: 'https://api.example.com' });

    const { token } = await logIn(app, person);
    const statuses = [await statusWith(app, { token }), await statusWith(app, old)];
    await app.restart();

    const issued = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as object;
    expect(issued).toMatchObject({ iss: 'https://auth.example.com', aud: 'https://api.example.com' });
    expect(statuses).toEqual([200, 401]);
  });

  it('asks the database when it has not heard of revocations for too long, and answers the truth', async () => {
    const [standing, ended] = [await newcomer(app), await newcomer(app)];
    // As another instance would do it, whose line has not been read here yet.
    await app.inDatabase((tx) =>
      tx.query('UPDATE sessions SET revoked_at = created_at WHERE user_id = ?', [ended.id]),
    );
    expect(await statusWith(app, ended)).toBe(200);

    app.clock.push(1);
    const answers = await Promise.all([statusWith(app, standing), statusWith(app, ended)]);

    expect(answers).toEqual([200, 401]);
  });

  it('answers 503, never 401, when it needs the database and cannot have it', async () => {
    const { token } = await newcomer(app);
    await app.inDatabase((tx) => tx.query('ALTER TABLE sessions RENAME TO sessions_hidden'));
    try {
      app.clock.push(1);
      const { status, body, headers } = await app.call('GET', '/users/me', { token });

      expect([status, body]).toEqual([503, { error: 'Service temporarily unavailable' }]);
      expect(headers.get('retry-after')).toBe('1');
    } finally {
      await app.inDatabase((tx) => tx.query('ALTER TABLE sessions_hidden RENAME TO sessions'));
    }
  });
});
