import { createDatabase, type TestDatabase } from './support/database';
import { type Program, runCommand, settingsFor, startServer } from './support/server-process';

/** What every other instance may take to learn of a revocation, without Redis. */
const BOUND_MS = 1000;

describe('two instances on one database', () => {
  let database: TestDatabase;
  let settings: Record<string, string>;
  let instances: (Program & { url: string })[];

  beforeAll(async () => {
    database = await createDatabase();
    settings = settingsFor(database);
    instances = await Promise.all([startServer(settings), startServer(settings)]);
  });
  afterAll(async () => {
    for (const instance of instances) instance.signal('SIGTERM');
    await Promise.all(instances.map((instance) => instance.exit()));
    await database.drop();
  });

  const call = async (
    instance: 0 | 1,
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: object,
  ) => {
    const response = await fetch(`${instances[instance]?.url}/api/v1${path}`, {
      method,
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: (text ? JSON.parse(text) : {}) as Record<string, string> };
  };

  const bearer = (token: string | undefined) => ({ authorization: `Bearer ${token}` });
  const status = async (instance: 0 | 1, headers: Record<string, string>) =>
    (await call(instance, 'GET', '/users/me', headers)).status;

  let count = 0;
  const newcomer = async () => {
    count += 1;
    const person = {
      username: `person-${count}`,
      email: `person-${count}@example.com`,
      password: 'their password',
    };
    await call(0, 'POST', '/users', {}, person);
    const { username, password } = person;
    const { body } = await call(1, 'POST', '/auth/login', {}, { username, password });
    return { ...person, token: body['token'] };
  };

  /** Milliseconds until instance 1 refuses what instance 0 has revoked. */
  const lag = async (headers: Record<string, string>, revoke: () => Promise<unknown>): Promise<number> => {
    expect(await status(0, headers)).toBe(200);
    expect(await status(1, headers)).toBe(200);
    await revoke();
    const revokedAt = performance.now();
    expect(await status(0, headers)).toBe(401);
    for (;;) {
      const askedAt = performance.now();
      if ((await status(1, headers)) === 401) return askedAt - revokedAt;
      expect(askedAt - revokedAt).toBeLessThan(BOUND_MS);
    }
  };

  it('both refuse a session that was ended at one of them, the other within a second', async () => {
    const { token } = await newcomer();

    const milliseconds = await lag(bearer(token), () => call(0, 'POST', '/auth/logout', bearer(token)));

    expect(milliseconds).toBeLessThan(BOUND_MS);
  });

  it('both refuse a key that was deleted at one of them', async () => {
    const { token } = await newcomer();
    const { body } = await call(1, 'POST', '/auth/keys', bearer(token), {});
    const key = { 'x-api-key': body['apiKey'] ?? '' };

    const milliseconds = await lag(key, () =>
      call(0, 'DELETE', `/auth/keys/${body['keyId']}`, bearer(token)),
    );

    expect(milliseconds).toBeLessThan(BOUND_MS);
  });

  it('both refuse the other sessions after a password change at one of them', async () => {
    const person = await newcomer();
    const { username, password } = person;
    const other = (await call(0, 'POST', '/auth/login', {}, { username, password })).body['token'];

    const milliseconds = await lag(bearer(other), () =>
      call(0, 'POST', '/users/me/password', bearer(person.token), {
        currentPassword: password,
        newPassword: 'another password',
      }),
    );

    expect(milliseconds).toBeLessThan(BOUND_MS);
    expect(await status(1, bearer(person.token))).toBe(200);
  });

  it('both obey an operator who disables an account, and one who enables it again', async () => {
    const { username, token } = await newcomer();
    const { body } = await call(1, 'POST', '/auth/keys', bearer(token), {});
    const key = { 'x-api-key': body['apiKey'] ?? '' };
    const until = async (expected: number, headers: Record<string, string>) => {
      const deadline = performance.now() + BOUND_MS;
      for (const instance of [0, 1] as const) {
        while ((await status(instance, headers)) !== expected)
          expect(performance.now()).toBeLessThan(deadline);
      }
    };
    await until(200, key);

    const disabled = await runCommand('cli/main', ['user', 'disable', username, '--json'], settings);
    expect(JSON.parse(disabled.stdout)).toMatchObject({ username, disabled: true, changed: true });
    await until(401, bearer(token));
    await until(401, key);

    const enabled = await runCommand('cli/main', ['user', 'enable', username], settings);
    expect(enabled.stdout).toBe(`Enabled ${username}.\n`);
    await until(200, key);
    expect(await status(0, bearer(token))).toBe(401);
  });
});
