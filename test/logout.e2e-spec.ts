import { startApp, type TestApp } from './support/app';
import { createKey, logIn, newcomer, statusWith, type TokensBody } from './support/people';
import { sendRaw } from './support/raw-http';

describe('logout', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  it('ends the session: its access tokens and every refresh token of it', async () => {
    const person = await newcomer(app);
    const renewed = await app.call<TokensBody>('POST', '/auth/refresh', {
      body: { refreshToken: person.refreshToken },
    });

    const { status, body } = await app.call('POST', '/auth/logout', { token: renewed.body.token });

    expect([status, body]).toEqual([200, { message: 'Successfully logged out' }]);
    expect(await statusWith(app, renewed.body)).toBe(401);
    expect(await statusWith(app, person)).toBe(401);
    for (const refreshToken of [person.refreshToken, renewed.body.refreshToken]) {
      const refused = await app.call('POST', '/auth/refresh', { body: { refreshToken } });
      expect([refused.status, refused.body]).toEqual([401, { error: 'Invalid or expired refresh token' }]);
    }
    const [session] = await app.rows('SELECT * FROM sessions WHERE user_id = ?', [person.id]);
    expect(session).toMatchObject({ revocation_reason: 'logout' });
  });

  it('names the reason in the code of the refusal', async () => {
    const { token } = await newcomer(app);
    await app.call('POST', '/auth/logout', { token });

    const { status, body, headers } = await app.call('POST', '/auth/logout', { token });

    expect([status, body]).toEqual([401, { error: 'Authentication required' }]);
    expect(headers.get('x-error-code')).toBe('token_revoked');
    expect(headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
  });

  it('leaves the other sessions and the keys of the account alone', async () => {
    const person = await newcomer(app);
    const other = await logIn(app, person);
    const { apiKey } = await createKey(app, person.token);

    await app.call('POST', '/auth/logout', { token: person.token });

    expect(await statusWith(app, person)).toBe(401);
    expect(await statusWith(app, other)).toBe(200);
    expect(await statusWith(app, { key: apiKey })).toBe(200);
  });

  it('needs a session', async () => {
    const { status, body } = await app.call('POST', '/auth/logout');

    expect([status, body]).toEqual([401, { error: 'Authentication required' }]);
  });

  it('cannot be done with an API key', async () => {
    const person = await newcomer(app);
    const { apiKey } = await createKey(app, person.token);

    const { status, headers } = await app.call('POST', '/auth/logout', { key: apiKey });

    expect(status).toBe(403);
    expect(headers.get('x-error-code')).toBe('session_required');
    expect(await statusWith(app, person)).toBe(200);
  });

  it.each([
    ['no body', undefined],
    ['an empty body declared as JSON', ''],
    ['an empty object', '{}'],
  ])('takes %s', async (_, body) => {
    const { token } = await newcomer(app);

    const response = await app.fetch('/api/v1/auth/logout', {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body }),
    });

    expect(response.status).toBe(200);
  });

  it.each([
    [
      'a form of no length, as `curl -d ""` sends it',
      'application/x-www-form-urlencoded',
      'Content-Length: 0\r\n',
    ],
    ['a text that does not follow', 'text/plain', ''],
    ['a media type that is none', 'nothing', 'Content-Length: 0\r\n'],
  ])('ends the session also where the request declares %s', async (_, type, length) => {
    const { token } = await newcomer(app);

    const [answer] = await sendRaw(
      app.url,
      `POST /api/v1/auth/logout HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\nContent-Type: ${type}\r\n${length}\r\n`,
    );

    expect([answer?.status, answer?.body]).toEqual([200, '{"message":"Successfully logged out"}']);
    expect(await statusWith(app, { token })).toBe(401);
  });

  it('still holds after a restart', async () => {
    const { token } = await newcomer(app);
    await app.call('POST', '/auth/logout', { token });

    await app.restart();

    expect(await statusWith(app, { token })).toBe(401);
  });

  it('is forgotten once every token that it concerns has expired', async () => {
    const { token } = await newcomer(app);
    await app.call('POST', '/auth/logout', { token });
    const [line] = await app.rows<{ expires_at: Date | string }>(
      'SELECT expires_at FROM revocation_entries ORDER BY position DESC LIMIT 1',
    );
    const remembered = new Date(
      typeof line?.expires_at === 'string' ? `${line.expires_at}Z` : (line?.expires_at ?? 0),
    );

    // The hour that the token lives, and the ten seconds in which a repeated refresh may hand out another one.
    expect(remembered.getTime() - app.clock.now().getTime()).toBe((3600 + 10) * 1000);
    app.clock.advance(3600);
    const { headers } = await app.call('GET', '/users/me', { token });
    expect(headers.get('x-error-code')).toBe('token_expired');
  });
});
