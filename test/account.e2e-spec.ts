import { PasswordHasher } from '../src/crypto/password-hasher';
import { startApp, type TestApp } from './support/app';
import { gate } from './support/gate';
import { createKey, logIn, newcomer, signUp, statusWith } from './support/people';

describe('password change', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const change = (token: string, body: unknown) => app.call('POST', '/users/me/password', { token, body });

  it('sets the new password and voids the old one', async () => {
    const person = await newcomer(app);

    const { status, body } = await change(person.token, {
      currentPassword: person.password,
      newPassword: 'the new password',
    });

    expect([status, body]).toEqual([204, undefined]);
    await logIn(app, { ...person, password: 'the new password' });
    await expect(logIn(app, person)).rejects.toThrow('Invalid credentials');
  });

  it('ends every other session and lets this one go on', async () => {
    const person = await newcomer(app);
    const other = await logIn(app, person);

    await change(person.token, { currentPassword: person.password, newPassword: 'the new password' });

    expect(await statusWith(app, person)).toBe(200);
    expect(await statusWith(app, other)).toBe(401);
    const renew = ({ refreshToken }: { refreshToken: string }) =>
      app.call('POST', '/auth/refresh', { body: { refreshToken } });
    expect((await renew(other)).status).toBe(401);
    expect((await renew(person)).status).toBe(200);
  });

  it('leaves API keys alone unless asked', async () => {
    const person = await newcomer(app);
    const { apiKey } = await createKey(app, person.token);

    await change(person.token, { currentPassword: person.password, newPassword: 'the new password' });

    expect(await statusWith(app, { key: apiKey })).toBe(200);
  });

  it('deletes API keys when asked', async () => {
    const person = await newcomer(app);
    const { apiKey } = await createKey(app, person.token);
    expect(await statusWith(app, { key: apiKey })).toBe(200);

    await change(person.token, {
      currentPassword: person.password,
      newPassword: 'the new password',
      revokeKeys: true,
    });

    expect(await statusWith(app, { key: apiKey })).toBe(401);
    expect(await app.rows('SELECT id FROM api_keys WHERE user_id = ?', [person.id])).toEqual([]);
  });

  it('refuses a wrong current password with 403, and changes nothing', async () => {
    const person = await newcomer(app);
    const other = await logIn(app, person);

    const { status, body, headers } = await change(person.token, {
      currentPassword: 'not the password',
      newPassword: 'the new password',
    });

    expect([status, body]).toEqual([403, { error: 'Current password is wrong' }]);
    expect(headers.get('x-error-code')).toBe('current_password_wrong');
    expect(await statusWith(app, other)).toBe(200);
    await logIn(app, person);
  });

  it.each([
    ['no current password', { newPassword: 'the new password' }, 'currentPassword'],
    ['no new password', { currentPassword: 'x' }, 'newPassword'],
    ['a short new password', { newPassword: 'short' }, 'newPassword'],
    ['text for revokeKeys', { newPassword: 'the new password', revokeKeys: 'yes' }, 'revokeKeys'],
    ['null for revokeKeys', { newPassword: 'the new password', revokeKeys: null }, 'revokeKeys'],
  ])('refuses %s with 400', async (_, wishes, field) => {
    const person = await newcomer(app);
    const body = 'currentPassword' in wishes ? wishes : { currentPassword: person.password, ...wishes };

    const answer = await app.call<{ details: { field: string }[] }>('POST', '/users/me/password', {
      token: person.token,
      body: field === 'currentPassword' ? wishes : body,
    });

    expect(answer.status).toBe(400);
    expect(answer.body.details.map((fault) => fault.field)).toContain(field);
    await logIn(app, person);
  });

  it('can be made by one of two at once, who knew the old password', async () => {
    const person = await newcomer(app);
    const other = await logIn(app, person);
    const hasher = app.nest.get(PasswordHasher);
    const verify = hasher.verify.bind(hasher);
    const bothVerified = gate();
    let verified = 0;
    const verifying = jest.spyOn(hasher, 'verify').mockImplementation(async (hash, password, place) => {
      const matches = await verify(hash, password, place);
      if ((verified += 1) === 2) bothVerified.open();
      await bothVerified.opened;
      return matches;
    });

    const answers = await Promise.all([
      change(person.token, { currentPassword: person.password, newPassword: 'from one device' }),
      change(other.token, { currentPassword: person.password, newPassword: 'from the other' }),
    ]);

    verifying.mockRestore();
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 204)).toHaveLength(1);
    const winner = statuses[0] === 204 ? 'from one device' : 'from the other';
    await logIn(app, { ...person, password: winner });
    // The other has lost his session by that, and has typed no wrong password: his was not, when he typed it.
    const lost = answers.find(({ status }) => status !== 204);
    expect([lost?.status, lost?.headers.get('x-error-code')]).toEqual([401, 'token_revoked']);
    const rejected = "SELECT id FROM audit_events WHERE user_id = ? AND type = 'password_rejected'";
    expect(await app.rows(rejected, [person.id])).toEqual([]);
  });

  it('is not for API keys', async () => {
    const person = await newcomer(app);
    const { apiKey } = await createKey(app, person.token);

    const { status } = await app.call('POST', '/users/me/password', {
      key: apiKey,
      body: { currentPassword: person.password, newPassword: 'the new password' },
    });

    expect(status).toBe(403);
  });
});

describe('a login that was checked before the password changed', () => {
  it('does not outlive the change', async () => {
    const app = await startApp();
    try {
      const person = await newcomer(app);
      // Whoever checks this password is made to wait until it has been changed.
      const hasher = app.nest.get(PasswordHasher);
      const verify = hasher.verify.bind(hasher);
      let release = (): void => undefined;
      const gate = new Promise<void>((resolve) => (release = resolve));
      let reached = (): void => undefined;
      const checked = new Promise<void>((resolve) => (reached = resolve));
      hasher.verify = async (hash, password, place) => {
        const matches = await verify(hash, password, place);
        reached();
        hasher.verify = verify;
        await gate;
        return matches;
      };

      const { username, password } = person;
      const login = app.call('POST', '/auth/login', { body: { username, password } });
      await checked;
      await app.call('POST', '/users/me/password', {
        token: person.token,
        body: { currentPassword: password, newPassword: 'the new password' },
      });
      release();

      expect((await login).status).toBe(401);
      const standing = await app.rows('SELECT id FROM sessions WHERE user_id = ? AND revoked_at IS NULL', [
        person.id,
      ]);
      expect(standing).toHaveLength(1);
    } finally {
      await app.close();
    }
  });
});

describe('account deletion', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const remove = (token: string, body: unknown) => app.call('DELETE', '/users/me', { token, body });

  it('takes sessions and keys along', async () => {
    const person = await newcomer(app);
    const other = await logIn(app, person);
    const { apiKey } = await createKey(app, person.token);
    expect(await statusWith(app, { key: apiKey })).toBe(200);

    const { status, body } = await remove(person.token, { password: person.password });

    expect([status, body]).toEqual([204, undefined]);
    for (const credential of [person, other, { key: apiKey }])
      expect(await statusWith(app, credential)).toBe(401);
    for (const { refreshToken } of [person, other]) {
      expect((await app.call('POST', '/auth/refresh', { body: { refreshToken } })).status).toBe(401);
    }
    await expect(logIn(app, person)).rejects.toThrow('User not found');
    for (const table of ['users WHERE id', 'sessions WHERE user_id', 'api_keys WHERE user_id']) {
      expect(await app.rows(`SELECT id FROM ${table} = ?`, [person.id])).toEqual([]);
    }
  });

  it('leaves the audit trail', async () => {
    const person = await newcomer(app);

    await remove(person.token, { password: person.password });

    const events = await app.rows('SELECT type FROM audit_events WHERE user_id = ? ORDER BY id', [person.id]);
    expect(events).toEqual([{ type: 'account_created' }, { type: 'signed_in' }, { type: 'account_deleted' }]);
  });

  it('never maps the tokens of the old account to a new one of the same name', async () => {
    const person = await newcomer(app);
    await remove(person.token, { password: person.password });

    const successor = await signUp(app, { username: person.username, email: person.email });

    expect(successor.id).not.toBe(person.id);
    expect(await statusWith(app, person)).toBe(401);
    await app.restart();
    expect(await statusWith(app, person)).toBe(401);
  });

  it('refuses a wrong password with 403', async () => {
    const person = await newcomer(app);

    const { status, body } = await remove(person.token, { password: 'not the password' });

    expect([status, body]).toEqual([403, { error: 'Current password is wrong' }]);
    expect(await statusWith(app, person)).toBe(200);
  });

  it('refuses a missing password with 400', async () => {
    const { token } = await newcomer(app);

    expect((await remove(token, undefined)).status).toBe(400);
    expect((await remove(token, {})).status).toBe(400);
    expect(await statusWith(app, { token })).toBe(200);
  });

  it('is not for API keys', async () => {
    const person = await newcomer(app);
    const { apiKey } = await createKey(app, person.token);

    const { status } = await app.call('DELETE', '/users/me', {
      key: apiKey,
      body: { password: person.password },
    });

    expect(status).toBe(403);
  });
});
