import { join } from 'node:path';
import { Metrics } from '../src/core/metrics';
import { SystemRandom } from '../src/core/random';
import { Tracing } from '../src/core/tracing';
import { PasswordHasher } from '../src/crypto/password-hasher';
import { type Answer, CHEAP_HASH, startApp, type TestApp } from './support/app';
import { type LoginBody, logIn, signUp, statusWith } from './support/people';

const HASH_WORKER = join(__dirname, '..', 'src', 'crypto', 'hash-worker.js');

describe('login', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const login = (body: unknown): Promise<Answer<LoginBody>> => app.call('POST', '/auth/login', { body });

  it('hands out an access token, a refresh token and the user', async () => {
    const { id, username, email, password } = await signUp(app);

    const { status, body } = await login({ username, password });

    expect(status).toBe(200);
    expect(body).toEqual({
      token: expect.stringMatching(/^eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9\.[\w-]+\.[\w-]{43}$/) as string,
      expires_in: 3600,
      refreshToken: expect.stringMatching(/^rt_[\w-]{92}$/) as string,
      refresh_expires_in: 2_592_000,
      deviceToken: expect.stringMatching(/^dt_[\w-]{92}$/) as string,
      user: { id, username, email },
    });
  });

  it('stores a session that holds nothing which grants access', async () => {
    const person = await signUp(app);

    const { refreshToken, token } = await logIn(app, person);

    const [session] = await app.rows('SELECT * FROM sessions WHERE user_id = ?', [person.id]);
    expect(session).toMatchObject({ generation: 0, ip: '127.0.0.1', revoked_at: null, user_agent: 'node' });
    const stored = JSON.stringify(session);
    const nonce = Buffer.from(refreshToken.slice(3), 'base64url').subarray(21, 37);
    for (const secret of [token, refreshToken, nonce.toString('base64url'), nonce.toString('hex')]) {
      expect(stored).not.toContain(secret);
    }
  });

  it('writes a sign-in down in the audit trail, with whence and which request', async () => {
    const person = await signUp(app);

    const { headers } = await login({ username: person.username, password: person.password });

    const events = await app.rows("SELECT * FROM audit_events WHERE user_id = ? AND type = 'signed_in'", [
      person.id,
    ]);
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ ip: '127.0.0.1', request_id: headers.get('x-request-id') });
  });

  it('finds the user without regard to case', async () => {
    const { username, password } = await signUp(app, { username: 'Camel.Case' });

    const { status, body } = await login({ username: 'cAMEL.cASE', password });

    expect(status).toBe(200);
    expect(body.user.username).toBe(username);
  });

  it('answers a wrong password with "Invalid credentials"', async () => {
    const { username } = await signUp(app);

    const { status, body, headers } = await login({ username, password: 'not the password' });

    expect(status).toBe(401);
    expect(body).toEqual({ error: 'Invalid credentials' });
    expect(headers.get('x-error-code')).toBe('invalid_credentials');
    expect(headers.get('www-authenticate')).toBe('Bearer');
  });

  it('does not blame a token that came with the wrong password', async () => {
    const { username } = await signUp(app);

    const { status, headers } = await app.call('POST', '/auth/login', {
      body: { username, password: 'not the password' },
      token: 'not.a.token',
    });

    expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
  });

  it('answers an unknown name with "User not found"', async () => {
    const { status, body, headers } = await login({ username: 'nobody.at.all', password: 'whatever it is' });

    expect(status).toBe(401);
    expect(body).toEqual({ error: 'User not found' });
    expect(headers.get('x-error-code')).toBe('user_not_found');
  });

  it.each([
    ['an e-mail address', 'person@example.com'],
    ['blanks', '   '],
    ['nothing', ''],
    ['NUL', '\u0000'],
    ['a lone surrogate', '\ud800'],
    ['emoji, 256 of them', '🔑'.repeat(256)],
    ['SQL', "' OR 1=1 --"],
    ['a wildcard', '%'],
  ])('takes %s for a name that nobody has', async (_, username) => {
    const { status, body } = await login({ username, password: username });

    expect(status).toBe(401);
    expect(body).toEqual({ error: 'User not found' });
  });

  it.each([
    ['no name', { password: 'x' }, 'username'],
    ['no password', { username: 'x' }, 'password'],
    ['a number for a name', { username: 1, password: 'x' }, 'username'],
    ['null for a password', { username: 'x', password: null }, 'password'],
    ['an object for a name', { username: { $ne: '' }, password: 'x' }, 'username'],
    ['a list for a password', { username: 'x', password: ['x'] }, 'password'],
    ['a name of 257 characters', { username: 'x'.repeat(257), password: 'x' }, 'username'],
    ['a password of 257 characters', { username: 'x', password: '🔑'.repeat(257) }, 'password'],
    ['a field that is not known', { username: 'x', password: 'x', role: 'admin' }, 'role'],
  ])('refuses %s with 400 and names the field', async (_, body, field) => {
    const answer = await app.call<{ error: string; details: { field: string }[] }>('POST', '/auth/login', {
      body,
    });

    expect(answer.status).toBe(400);
    expect(answer.body.error).toBe('The request is not valid');
    expect(answer.body.details.map((fault) => fault.field)).toContain(field);
    expect(answer.headers.get('x-error-code')).toBe('validation_failed');
  });

  it('verifies a password byte for byte', async () => {
    const { username } = await signUp(app, { password: 'Pässwörd with a NUL \u0000 and a tail 🔑' });

    const near = [
      'Pässwörd with a NUL \u0000 and a tail 🔑 ',
      'pässwörd with a NUL \u0000 and a tail 🔑',
      'Pässwörd with a NUL ',
      'Pässwörd with a NUL \u0000 and a tail 🔑'.normalize('NFD'),
    ];

    for (const password of near) expect((await login({ username, password })).status).toBe(401);
    expect((await login({ username, password: 'Pässwörd with a NUL \u0000 and a tail 🔑' })).status).toBe(
      200,
    );
  });

  it('takes no lone surrogate for the character that replaces it', async () => {
    const { username } = await signUp(app, { password: 'replacement \ufffd character' });

    expect((await login({ username, password: 'replacement \ud800 character' })).status).toBe(401);
  });

  it('makes every password of up to 256 characters count to its end', async () => {
    const start = `kettle and brass lantern ${'🔑'.repeat(230)}`;
    const password = `${start}a`;
    const { username } = await signUp(app, { password });

    expect((await login({ username, password })).status).toBe(200);
    expect((await login({ username, password: `${start}b` })).status).toBe(401);
  });

  it('tells a disabled account only to who knows its password', async () => {
    const person = await signUp(app);
    await app.inDatabase((tx) => tx.update('User', { id: person.id }, { disabledAt: app.clock.now() }));

    const right = await login({ username: person.username, password: person.password });
    const wrong = await login({ username: person.username, password: 'not the password' });

    expect([right.status, right.body]).toEqual([403, { error: 'Account disabled' }]);
    expect([wrong.status, wrong.body]).toEqual([401, { error: 'Invalid credentials' }]);
  });

  it('gives every login a session of its own, whatever token comes with it', async () => {
    const person = await signUp(app);
    const first = await logIn(app, person);

    const second = await app.call<LoginBody>('POST', '/auth/login', {
      body: { username: person.username, password: person.password },
      token: first.token,
    });

    expect(second.status).toBe(200);
    expect(second.body.refreshToken).not.toBe(first.refreshToken);
    expect(await statusWith(app, first)).toBe(200);
    expect(await app.rows('SELECT id FROM sessions WHERE user_id = ?', [person.id])).toHaveLength(2);
  });

  it('renews a hash that was made with parameters of the past', async () => {
    const person = await signUp(app);
    const past = new PasswordHasher({ ...CHEAP_HASH, passes: 2 }, HASH_WORKER, new SystemRandom(), {
      ...{ clock: app.clock, metrics: new Metrics(), tracing: new Tracing() },
    });
    const hash = await past.hash(person.password, { lane: 'unknown', network: 'test', subject: 'test' });
    await past.onApplicationShutdown();
    await app.inDatabase((tx) => tx.update('User', { id: person.id }, { passwordHash: hash }));

    await logIn(app, person);

    const [row] = await app.rows<{ password_hash: string }>('SELECT password_hash FROM users WHERE id = ?', [
      person.id,
    ]);
    expect(hash).toMatch(/^\$argon2id\$v=19\$m=8,t=2,p=1\$/);
    expect(row?.password_hash).toMatch(/^\$argon2id\$v=19\$m=8,t=1,p=1\$/);
    await logIn(app, person);
  });

  it('lets the longest idle session give way when an account has a hundred', async () => {
    const person = await signUp(app);
    const first = await logIn(app, person);
    for (let count = 1; count < 100; count += 1) await logIn(app, person);
    expect(await statusWith(app, first)).toBe(200);

    await logIn(app, person);

    expect(await statusWith(app, first)).toBe(401);
    const standing = await app.rows('SELECT id FROM sessions WHERE user_id = ? AND revoked_at IS NULL', [
      person.id,
    ]);
    expect(standing).toHaveLength(100);
  });
});

describe('login with LOGIN_ERRORS=uniform', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ LOGIN_ERRORS: 'uniform' })));
  afterAll(() => app.close());

  it('answers an unknown name exactly like a wrong password', async () => {
    const { username } = await signUp(app);
    const attempt = (name: string) =>
      app.call('POST', '/auth/login', { body: { username: name, password: 'not the password' } });

    const [known, unknown] = [await attempt(username), await attempt('nobody.at.all')];

    const visible = ({ status, body, headers }: Answer) => ({
      status,
      body,
      headers: [...headers].filter(([name]) => name !== 'x-request-id' && name !== 'date'),
    });
    expect(visible(unknown)).toEqual(visible(known));
    expect(unknown.body).toEqual({ error: 'Invalid credentials' });
  });
});
