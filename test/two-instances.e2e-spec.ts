import { bearer, TwoInstances } from './support/instances';
import { runCommand } from './support/server-process';

/** What every other instance may take to learn of a revocation, without Redis. */
const BOUND_MS = 1000;

describe('two instances on one database', () => {
  let instances: TwoInstances;
  beforeAll(async () => (instances = await TwoInstances.start()));
  afterAll(() => instances.stop());

  /** Milliseconds until instance 1 refuses what instance 0 has revoked. */
  const lag = async (headers: Record<string, string>, revoke: () => Promise<unknown>): Promise<number> => {
    expect(await instances.status(0, headers)).toBe(200);
    expect(await instances.status(1, headers)).toBe(200);
    await revoke();
    const revokedAt = performance.now();
    expect(await instances.status(0, headers)).toBe(401);
    for (;;) {
      const askedAt = performance.now();
      if ((await instances.status(1, headers)) === 401) return askedAt - revokedAt;
      expect(askedAt - revokedAt).toBeLessThan(BOUND_MS);
    }
  };

  it('both refuse a session that was ended at one of them, the other within a second', async () => {
    const { token } = await instances.newcomer();

    const milliseconds = await lag(bearer(token), () =>
      instances.call(0, 'POST', '/auth/logout', bearer(token)),
    );

    expect(milliseconds).toBeLessThan(BOUND_MS);
  });

  it('both refuse a key that was deleted at one of them', async () => {
    const { token } = await instances.newcomer();
    const { body } = await instances.call(1, 'POST', '/auth/keys', bearer(token), {});
    const key = { 'x-api-key': body['apiKey'] ?? '' };

    const milliseconds = await lag(key, () =>
      instances.call(0, 'DELETE', `/auth/keys/${body['keyId']}`, bearer(token)),
    );

    expect(milliseconds).toBeLessThan(BOUND_MS);
  });

  it('both refuse the other sessions after a password change at one of them', async () => {
    const person = await instances.newcomer();
    const { username, password } = person;
    const other = (await instances.logIn(0, username, password)).token;

    const milliseconds = await lag(bearer(other), () =>
      instances.call(0, 'POST', '/users/me/password', bearer(person.token), {
        currentPassword: password,
        newPassword: 'swift otter paints',
      }),
    );

    expect(milliseconds).toBeLessThan(BOUND_MS);
    expect(await instances.status(1, bearer(person.token))).toBe(200);
  });

  it('both refuse sessions and keys of an account that was deleted at one of them', async () => {
    const { token, password } = await instances.newcomer();
    const { body } = await instances.call(1, 'POST', '/auth/keys', bearer(token), {});
    const key = { 'x-api-key': body['apiKey'] ?? '' };
    expect(await instances.status(1, key)).toBe(200);

    const milliseconds = await lag(bearer(token), () =>
      instances.call(0, 'DELETE', '/users/me', bearer(token), { password }),
    );

    expect(milliseconds).toBeLessThan(BOUND_MS);
    expect(await instances.status(0, key)).toBe(401);
    expect(await instances.status(1, key)).toBe(401);
  });

  it('both obey an operator who disables an account, and one who enables it again', async () => {
    const { username, token } = await instances.newcomer();
    const { body } = await instances.call(1, 'POST', '/auth/keys', bearer(token), {});
    const key = { 'x-api-key': body['apiKey'] ?? '' };
    const until = async (expected: number, headers: Record<string, string>) => {
      const deadline = performance.now() + BOUND_MS;
      for (const instance of [0, 1] as const) {
        while ((await instances.status(instance, headers)) !== expected)
          expect(performance.now()).toBeLessThan(deadline);
      }
    };
    await until(200, key);

    const disabled = await runCommand(
      'latchkey',
      ['user', 'disable', username, '--json'],
      instances.settings,
    );
    expect(JSON.parse(disabled.stdout)).toMatchObject({ username, disabled: true, changed: true });
    await until(401, bearer(token));
    await until(401, key);

    const enabled = await runCommand('latchkey', ['user', 'enable', username], instances.settings);
    expect(enabled.stdout).toBe(`Enabled ${username}.\n`);
    await until(200, key);
    expect(await instances.status(0, bearer(token))).toBe(401);
  });

  it('seal one audit trail together, without a gap or a fork', async () => {
    const { username, password } = await instances.newcomer();
    const logins = [0, 1].map(async (instance) => {
      for (let count = 0; count < 40; count += 1) {
        await instances.logIn(instance as 0 | 1, username, password);
      }
    });
    await Promise.all(logins);

    const verify = async () => {
      const { code, stdout } = await runCommand(
        'latchkey',
        ['audit', 'verify', '--json'],
        instances.settings,
      );
      expect(code).toBe(0);
      return JSON.parse(stdout) as { intact: boolean; verified: number; unsealed: number };
    };
    const deadline = performance.now() + 15_000;
    let verdict = await verify();
    while (verdict.unsealed > 0) {
      expect(performance.now()).toBeLessThan(deadline);
      verdict = await verify();
    }

    expect(verdict).toMatchObject({ intact: true, unsealed: 0 });
    expect(verdict.verified).toBeGreaterThan(80);
  }, 60_000);
});
