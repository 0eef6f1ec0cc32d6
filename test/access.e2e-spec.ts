import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants';
import { ModulesContainer, Reflector } from '@nestjs/core';
import { ACCESS_POLICY, type AccessPolicy } from '../src/access/decorators';
import { startApp, type TestApp } from './support/app';
import { claimsOf, forge, JWT_SECRET } from './support/forgery';
import { createKey, logIn, newcomer, signUp, statusWith } from './support/people';
import { withoutPolls } from './support/polls';

describe('access', () => {
  let app: TestApp;
  let genuine: string;
  let claims: Record<string, unknown>;

  beforeAll(async () => {
    app = await startApp({ JWT_SECRET });
    genuine = (await newcomer(app)).token;
    claims = claimsOf(genuine);
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

    const answers = await withoutPolls(app, () => {
      app.clock.push(1);
      return Promise.all([statusWith(app, standing), statusWith(app, ended)]);
    });

    expect(answers).toEqual([200, 401]);
  });

  it('answers 503, never 401, when it needs the database and cannot have it', async () => {
    const { token } = await newcomer(app);
    await app.inDatabase((tx) => tx.query('ALTER TABLE sessions RENAME TO sessions_hidden'));
    try {
      const { status, body, headers } = await withoutPolls(app, () => {
        app.clock.push(1);
        return app.call('GET', '/users/me', { token });
      });

      expect([status, body]).toEqual([503, { error: 'Service temporarily unavailable' }]);
      expect(headers.get('retry-after')).toBe('1');
    } finally {
      await app.inDatabase((tx) => tx.query('ALTER TABLE sessions_hidden RENAME TO sessions'));
    }
  });
});
