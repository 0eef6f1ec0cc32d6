import { bearer, TwoInstances } from './support/instances';
import { runCommand } from './support/server-process';

/** What every other instance may take to learn of a revocation, without Redis. */
const BOUND_MS = 1000;

/** Milliseconds after which it counts as never learning of it, on however slow a machine. */
const PATIENCE_MS = 10_000;

describe('two instances on one database', () => {
  let instances: TwoInstances;
  beforeAll(async () => (instances = await TwoInstances.start()));
  afterAll(() => instances.stop());

  /** Milliseconds after each change until an instance that it was not made at went by it. */
  const lags: number[] = [];

  /** Waits until an instance answers so, and notes how long after `since` it was asked for the last time. */
  const until = async (at: 0 | 1, expected: number, headers: Record<string, string>, since: number) => {
    for (;;) {
      const lag = performance.now() - since;
      if ((await instances.status(at, headers)) === expected) return void lags.push(lag);
      expect(lag).toBeLessThan(PATIENCE_MS);
    }
  };

  /** Has something revoked at instance 0, which refuses it at once, and instance 1 too. */
  const refusedAfter = async (headers: Record<string, string>, revoke: () => Promise<unknown>) => {
    expect(await instances.status(0, headers)).toBe(200);
    expect(await instances.status(1, headers)).toBe(200);
    await revoke();
    const revokedAt = performance.now();
    expect(await instances.status(0, headers)).toBe(401);
    await until(1, 401, headers, revokedAt);
  };

  it('both refuse a session that was ended at one of them', async () => {
    const { token } = await instances.newcomer();

    await refusedAfter(bearer(token), () => instances.call(0, 'POST', '/auth/logout', bearer(token)));
  });

  it('both refuse a key that was deleted at one of them', async () => {
    const { token } = await instances.newcomer();
    const { body } = await instances.call(1, 'POST', '/auth/keys', bearer(token), {});
    const key = { 'x-api-key': body['apiKey'] ?? '' };

    await refusedAfter(key, () => instances.call(0, 'DELETE', `/auth/keys/${body['keyId']}`, bearer(token)));
  });

  it('both refuse the other sessions after a password change at one of them', async () => {
    const person = await instances.newcomer();
    const { username, password } = person;
    const other = (await instances.logIn(0, username, password)).token;

    await refusedAfter(bearer(other), () =>
      instances.call(0, 'POST', '/users/me/password', bearer(person.token), {
        currentPassword: password,
        newPassword: 'swift otter paints',
      }),
    );

    expect(await instances.status(1, bearer(person.token))).toBe(200);
  });

  it('both refuse sessions and keys of an account that was deleted at one of them', async () => {
    const { token, password } = await instances.newcomer();
    const { body } = await instances.call(1, 'POST', '/auth/keys', bearer(token), {});
    const key = { 'x-api-key': body['apiKey'] ?? '' };
    expect(await instances.status(1, key)).toBe(200);

    await refusedAfter(bearer(token), () =>
      instances.call(0, 'DELETE', '/users/me', bearer(token), { password }),
    );

    expect(await instances.status(0, key)).toBe(401);
    expect(await instances.status(1, key)).toBe(401);
  });

  it('both obey an operator who disables an account, and one who enables it again', async () => {
    const { username, token } = await instances.newcomer();
    const { body } = await instances.call(1, 'POST', '/auth/keys', bearer(token), {});
    const key = { 'x-api-key': body['apiKey'] ?? '' };
    const untilBoth = async (expected: number, headers: Record<string, string>) => {
      const since = performance.now();
      for (const at of [0, 1] as const) await until(at, expected, headers, since);
    };
    await untilBoth(200, key);

    const disabled = await runCommand(
      'latchkey',
      ['user', 'disable', username, '--json'],
      instances.settings,
    );
    expect(JSON.parse(disabled.stdout)).toMatchObject({ username, disabled: true, changed: true });
    await untilBoth(401, bearer(token));
    await untilBoth(401, key);

    const enabled = await runCommand('latchkey', ['user', 'enable', username], instances.settings);
    expect(enabled.stdout).toBe(`Enabled ${username}.\n`);
    await untilBoth(200, key);
    expect(await instances.status(0, bearer(token))).toBe(401);
  });

  it('have each learnt of all that in time: within a second', () => {
    expect(lags.length).toBeGreaterThan(4);
    expect(lags.filter((lag) => lag >= BOUND_MS)).toEqual([]);
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
    let verdict = await verify();
    while (verdict.unsealed > 0) verdict = await verify();

    expect(verdict).toMatchObject({ intact: true, unsealed: 0 });
    expect(verdict.verified).toBeGreaterThan(80);
  }, 120_000);
});
