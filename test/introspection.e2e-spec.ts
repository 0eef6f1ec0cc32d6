import { KeyUsage } from '../src/api-keys/key-usage';
import { toInstant } from '../src/database/sql';
import { SessionUsage } from '../src/sessions/session-usage';
import { type Answer, startApp, type TestApp } from './support/app';
import { writeLastUses } from './support/last-uses';
import {
  createKey,
  type CreatedKeyBody,
  listKeys,
  logIn,
  newcomer,
  operator,
  type Person,
} from './support/people';

interface Introspection {
  active: boolean;
  sid?: string;
  exp?: number;
}

interface Refusal {
  error: string;
  details: { field: string }[];
}

describe('introspection', () => {
  let app: TestApp;
  let owner: Person & { token: string; refreshToken: string };
  let service: CreatedKeyBody;

  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());
  beforeEach(async () => {
    owner = await newcomer(app);
    service = await createKey(app, owner.token, { scopes: ['introspect'] });
  });

  const introspect = (body: object, key = service.apiKey) =>
    app.call<Introspection>('POST', '/auth/introspect', { key, body });

  /** As clients of RFC 7662 send it. */
  const introspectForm = async (
    form: string,
    key = service.apiKey,
  ): Promise<Answer<Introspection & Refusal>> => {
    const response = await app.fetch('/api/v1/auth/introspect', {
      method: 'POST',
      headers: { 'x-api-key': key, 'content-type': 'application/x-www-form-urlencoded' },
      body: form,
    });
    const { status, headers } = response;
    return { status, headers, body: (await response.json()) as Introspection & Refusal };
  };

  const rotate = (keyId: string, overlapSeconds: number) =>
    app.call('POST', `/auth/keys/${keyId}/rotate`, { token: owner.token, body: { overlapSeconds } });

  it('tells what an access token is good for', async () => {
    const { status, body } = await introspect({ token: owner.token });

    expect(status).toBe(200);
    expect(body).toEqual({
      active: true,
      sub: owner.id,
      username: owner.username,
      scope: '*',
      exp: 1773480413 + 3600,
      iat: 1773480413,
      token_type: 'Bearer',
      sid: expect.stringMatching(/^sess_/) as string,
    });
  });

  it('tells what a key is good for', async () => {
    const { apiKey, keyId } = await createKey(app, owner.token, {
      scopes: ['a:b', 'c:d'],
      expiresAt: '2030-01-01T00:00:00Z',
    });

    const { body } = await introspect({ token: apiKey });

    expect(body).toEqual({
      active: true,
      sub: owner.id,
      username: owner.username,
      scope: 'a:b c:d',
      exp: 1893456000,
      iat: 1773480413,
      client_id: keyId,
      token_type: 'api-key',
    });
  });

  it('gives a key that never ends no end, and an old secret its own', async () => {
    const { apiKey, keyId } = await createKey(app, owner.token);
    const before = await introspect({ token: apiKey });
    await rotate(keyId, 60);

    const after = await introspect({ token: apiKey });

    expect(before.body).not.toHaveProperty('exp');
    expect(after.body.exp).toBe(1773480413 + 60);
  });

  it('takes a form as RFC 7662 has it, and JSON, with the same answer', async () => {
    const { apiKey } = await createKey(app, owner.token, { allowedIps: ['10.0.0.0/8', '2001:db8::/32'] });
    const form = new URLSearchParams({ token: apiKey, token_type_hint: 'access_token', ip: '2001:db8::1' });

    const answer = await introspectForm(form.toString());
    const fromJson = await introspect({ token: apiKey, ip: '10.1.1.1' });

    expect(answer.status).toBe(200);
    expect(answer.body.active).toBe(true);
    expect(answer.body).toEqual(fromJson.body);
  });

  it.each([
    ['10.1.2.3', true],
    ['::ffff:10.1.2.3', true],
    ['192.0.2.1', false],
    ['2001:db8::1', false],
    [undefined, true],
  ])('judges a key for 10.0.0.0/8 used from %p: active %p', async (ip, active) => {
    const { apiKey } = await createKey(app, owner.token, { allowedIps: ['10.0.0.0/8'] });

    const { body } = await introspect({ token: apiKey, ...(ip && { ip }) });

    expect(body).toEqual(active ? expect.objectContaining({ active }) : { active });
  });

  it('counts as a use of the key', async () => {
    const { apiKey, keyId } = await createKey(app, owner.token);
    await introspect({ token: apiKey });

    await writeLastUses(app, KeyUsage);

    expect((await listKeys(app, owner.token)).find((key) => key.keyId === keyId)?.lastUsed).not.toBeNull();
  });

  it('says active: false and nothing else about whatever is not active, never a hint why', async () => {
    const { token, refreshToken } = await logIn(app, owner);
    const [expired, disabled, deleted, reported, rotated] = [
      await createKey(app, owner.token, { expiresAt: '2026-03-14T09:27:00Z' }),
      await createKey(app, owner.token),
      await createKey(app, owner.token),
      await createKey(app, owner.token),
      await createKey(app, owner.token),
    ];
    for (const { apiKey } of [expired, disabled, deleted, reported, rotated]) {
      expect((await introspect({ token: apiKey })).body.active).toBe(true);
    }
    await app.call('PATCH', `/auth/keys/${disabled.keyId}`, { token: owner.token, body: { enabled: false } });
    await app.call('DELETE', `/auth/keys/${deleted.keyId}`, { token: owner.token });
    await app.call('POST', '/auth/keys/report', { body: { apiKey: reported.apiKey } });
    await rotate(rotated.keyId, 0);
    await app.call('POST', '/auth/logout', { token });
    const stranger = await newcomer(app);
    const strangersKey = await createKey(app, stranger.token);
    app.clock.advance(10);

    const answers: unknown[] = [];
    for (const text of [
      ...[expired, disabled, deleted, reported, rotated, strangersKey].map(({ apiKey }) => apiKey),
      ...[token, refreshToken, stranger.token, `${owner.token}x`, owner.token.slice(0, -1)],
      ...['', 'sk_', 'sk_live_x', '🔑', 'x'.repeat(10_000), 'eyJhbGciOiJub25lIn0.e30.'],
    ]) {
      const { status, body } = await introspect({ token: text });
      answers.push([status, body]);
    }
    app.clock.advance(-10);

    expect(answers).toEqual(answers.map(() => [200, { active: false }]));
  });

  it('counts as a use of the session', async () => {
    const at = app.clock.now();
    app.clock.advance(60);
    await introspect({ token: owner.token });

    await writeLastUses(app, SessionUsage);

    const [row] = await app.rows<{ used: string | Date }>(
      'SELECT last_used_at AS used FROM sessions WHERE user_id = ?',
      [owner.id],
    );
    expect(toInstant(row?.used ?? '').getTime()).toBeGreaterThan(at.getTime());
  });

  it('finds an expired token inactive, and one whose owner is disabled', async () => {
    const other = await newcomer(app);
    await operator(app).setScopes(owner.id, '*', 'introspect:all');
    const all = await createKey(app, (await logIn(app, owner)).token, {
      scopes: ['introspect', 'introspect:all'],
    });
    const seen = async () => (await introspect({ token: other.token }, all.apiKey)).body;
    expect(await seen()).toMatchObject({ active: true });

    app.clock.advance(3600);
    expect(await seen()).toEqual({ active: false });
    app.clock.advance(-3600);
    await operator(app).disable(other.id);

    expect(await seen()).toEqual({ active: false });
  });

  it('sees all accounts with introspect:all, which an operator alone grants', async () => {
    const stranger = await newcomer(app);
    const { apiKey: strangersKey } = await createKey(app, stranger.token);
    const wanted = { token: owner.token, body: { scopes: ['introspect', 'introspect:all'] } };
    expect((await app.call('POST', '/auth/keys', wanted)).status).toBe(403);
    await operator(app).setScopes(owner.id, '*', 'introspect:all');
    const { apiKey } = await createKey(app, owner.token, wanted.body);

    const seen = [];
    for (const token of [stranger.token, strangersKey]) seen.push((await introspect({ token }, apiKey)).body);
    await operator(app).setScopes(owner.id, '*');
    for (const token of [stranger.token, strangersKey]) seen.push((await introspect({ token }, apiKey)).body);

    const active = expect.objectContaining({ active: true }) as unknown;
    expect(seen).toEqual([active, active, { active: false }, { active: false }]);
  });

  it('names the scopes that an operator has left to the account', async () => {
    await operator(app).setScopes(owner.id, 'a:b', 'introspect');
    const { token } = await logIn(app, owner);
    const { apiKey } = await createKey(app, token, { scopes: ['a:b'] });
    await operator(app).setScopes(owner.id, 'introspect', 'e:f');

    expect((await introspect({ token: apiKey })).body).toMatchObject({ active: true, scope: '' });
    expect((await introspect({ token: (await logIn(app, owner)).token })).body).toMatchObject({
      scope: 'introspect e:f',
    });
  });

  it.each<[string, () => object, number, string]>([
    ['nobody', () => ({}), 401, 'authentication_required'],
    ['a signed-in user', () => ({ token: owner.token }), 403, 'api_key_required'],
    ['a bad key', () => ({ key: `${service.apiKey}x` }), 401, 'api_key_invalid'],
    ['two at once', () => ({ token: owner.token, key: service.apiKey }), 400, 'ambiguous_credentials'],
  ])('is not for %s', async (_, credential, expected, code) => {
    const { status, headers } = await app.call('POST', '/auth/introspect', {
      ...credential(),
      body: { token: owner.token },
    });

    expect([status, headers.get('x-error-code')]).toEqual([expected, code]);
  });

  it('is not for a key without the scope, whatever else it may do', async () => {
    const { apiKey } = await createKey(app, owner.token, { scopes: ['users:read', 'introspect:own'] });

    const { status, headers } = await introspect({ token: owner.token }, apiKey);

    expect([status, headers.get('x-error-code')]).toEqual([403, 'scope_missing']);
  });

  it.each([
    ['token', {}],
    ['token', { token: null }],
    ['token', { token: ['x'] }],
    ['ip', { token: 'x', ip: 'nowhere' }],
    ['ip', { token: 'x', ip: '10.0.0.0/8' }],
    ['token_type_hint', { token: 'x', token_type_hint: 1 }],
    ['apiKey', { token: 'x', apiKey: 'y' }],
  ])('refuses a wrong %s in %j with 400', async (field, request) => {
    const { status, body } = await app.call<Refusal>('POST', '/auth/introspect', {
      key: service.apiKey,
      body: request,
    });

    expect([status, body.details.map((fault) => fault.field)]).toEqual([400, [field]]);
  });

  it.each([
    ['token=a&token=b', 'token'],
    ['', 'token'],
    ['token=a&secret=b', 'secret'],
    ['token=a&ip=1', 'ip'],
  ])('refuses the form %p with 400', async (form, field) => {
    const { status, body } = await introspectForm(form);

    expect([status, body.details.map((fault) => fault.field)]).toEqual([400, [field]]);
  });

  it('refuses other media types with 415, and forms everywhere else', async () => {
    const send = (path: string, type: string) =>
      app.fetch(`/api/v1${path}`, {
        method: 'POST',
        headers: { 'x-api-key': service.apiKey, 'content-type': type },
        body: 'token=x',
      });

    const form = 'application/x-www-form-urlencoded';
    expect((await send('/auth/introspect', 'text/plain')).status).toBe(415);
    expect((await send('/auth/introspect', `${form}; charset=utf-8`)).status).toBe(200);
    for (const path of ['/auth/login', '/auth/keys/report', '/users']) {
      const response = await send(path, form);
      expect([response.status, response.headers.get('x-error-code')]).toEqual([
        415,
        'unsupported_media_type',
      ]);
    }
  });
});
