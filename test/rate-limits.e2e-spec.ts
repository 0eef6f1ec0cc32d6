import { ApiError } from '../src/core/errors';
import { SystemRandom } from '../src/core/random';
import { ApiKeyFormat } from '../src/crypto/api-key-format';
import { RateLimits } from '../src/rate-limit/rate-limits';
import { type Answer, startApp, type TestApp } from './support/app';
import { createKey, logIn, newcomer } from './support/people';
import { Scrape } from './support/scrape';
import { TestFailpoints } from './support/test-failpoints';

const times = <T>(count: number, one: (index: number) => Promise<T>) =>
  Array.from({ length: count }).reduce<Promise<T[]>>(
    async (before, _, index) => [...(await before), await one(index)],
    Promise.resolve([]),
  );

describe('limits', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ TRUST_PROXY: 'loopback', METRICS: 'on' })));
  afterAll(() => app.close());

  const hits = async () =>
    (await Scrape.from(app.url)).value('latchkey_limit_hits_total', { limit: 'sign-up' });
  const from = (address: string) => ({ 'X-Forwarded-For': address });

  describe('of sign-ups', () => {
    const attempt = (address: string, body: object = {}) =>
      app.call('POST', '/users', { body, headers: from(address) });

    it('are a hundred an hour and address, whatever comes of them', async () => {
      const person = { username: 'the.last', email: 'the.last@example.com', password: 'a good password' };
      const statuses = (await times(100, () => attempt('192.0.2.1'))).map(({ status }) => status);

      const refused = await attempt('192.0.2.1', person);

      expect(new Set(statuses)).toEqual(new Set([400]));
      expect(refused.status).toBe(429);
      expect(refused.headers.get('ratelimit-policy')).toBe('"sign-up";q=100;w=3600');
      const wait = Number(refused.headers.get('retry-after'));
      expect(refused.headers.get('ratelimit')).toBe(`"sign-up";r=0;t=${wait}`);
      app.clock.advance(wait - 1);
      expect((await attempt('192.0.2.1', person)).status).toBe(429);
      app.clock.advance(1);
      expect((await attempt('192.0.2.1', person)).status).toBe(201);
    });

    it('are by the hours of the clock: all of one before its turn, all of the next after it, and none between', async () => {
      const untilTurn = () => 3_600_000 - (app.clock.now().getTime() % 3_600_000);
      app.clock.advance((untilTurn() - 1_500) / 1000);

      const before = await times(101, () => attempt('192.0.2.7'));
      app.clock.advance((untilTurn() - 1) / 1000);
      const lastMoment = await attempt('192.0.2.7');
      app.clock.advance(0.001);
      const after = await times(101, () => attempt('192.0.2.7'));

      const statuses = (answers: Answer[]) => answers.map(({ status }) => status);
      const hundred = Array<number>(100).fill(400);
      expect(statuses(before)).toEqual([...hundred, 429]);
      expect(lastMoment.status).toBe(429);
      expect(statuses(after)).toEqual([...hundred, 429]);
      // From the second that has begun to the turn, and then to the one after it.
      const waits = [before.at(-1), lastMoment, after.at(-1)].map((answer) =>
        answer?.headers.get('retry-after'),
      );
      expect(waits).toEqual(['2', '1', '3600']);
    });

    it('count an IPv6 address as its network, and an IPv4 address as itself however it is written', async () => {
      await times(100, (index) => attempt(`2001:db8:9:9::${index.toString(16)}`));
      await times(100, () => attempt('::ffff:198.51.100.9'));

      const statuses = await times(6, async (index) => {
        const addresses = [
          ...['2001:0DB8:9:9:ffff:ffff:ffff:ffff', '2001:db8:9:a::1', '2001:db8:9:9::'],
          ...['198.51.100.9', '::ffff:c633:6409', '198.51.100.10'],
        ];
        return (await attempt(addresses[index] as string)).status;
      });

      expect(statuses).toEqual([429, 400, 429, 429, 429, 400]);
    });

    it.each([
      ['sign-up', 1000, '/users', {}],
      ['key-report', 600, '/auth/keys/report', { apiKey: 'x' }],
    ] as const)(
      'are counted by IPv6 /48 as well, and so are reports of keys: %s, %i of them',
      async (name, most, path, body) => {
        const [limits, network] = [app.nest.get(RateLimits), `${name}-network` as const];
        const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };
        await times(most - 1, () => limits.take(network, '2001:db8:48::/48', { userId: null, origin }));
        const call = (address: string) => app.call('POST', path, { body, headers: from(address) });

        const last = await call('2001:db8:48:1::1');
        const refused = await call('2001:db8:48:2::1');

        expect(last.status).not.toBe(429);
        expect(refused.status).toBe(429);
        expect(refused.headers.get('ratelimit-policy')).toMatch(`"${network}";q=${most};`);
        expect((await call('2001:db8:49::1')).status).not.toBe(429);
        expect((await call('192.0.2.48')).status).not.toBe(429);
      },
    );

    it('are one event and one line in the log, however many are refused', async () => {
      const before = await hits();

      await times(120, () => attempt('203.0.113.50'));

      const events = await app.rows<{ ip: string }>(
        "SELECT ip FROM audit_events WHERE type = 'limit_reached' AND ip = '203.0.113.50'",
      );
      expect(events).toHaveLength(1);
      expect(
        app.logged.filter(({ msg, ip }) => msg === 'A limit is reached' && ip === '203.0.113.50'),
      ).toEqual([expect.objectContaining({ level: 'warn', limit: 'sign-up' })]);
      expect(await hits()).toBe(before + 20);
    });
  });

  describe('of refreshes', () => {
    const refresh = (refreshToken: string) => app.call('POST', '/auth/refresh', { body: { refreshToken } });

    it('are a hundred and twenty a minute and session; the token is good again afterwards', async () => {
      const person = await newcomer(app);
      const other = await logIn(app, person);
      // A hundred racing calls are not too many.
      const answers = await Promise.all(Array.from({ length: 100 }, () => refresh(person.refreshToken)));
      answers.push(...(await times(20, () => refresh(person.refreshToken))));

      const refused = await refresh(person.refreshToken);

      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      expect(refused.status).toBe(429);
      expect(refused.headers.get('ratelimit-policy')).toBe('"refresh-session";q=120;w=60');
      expect((await refresh(other.refreshToken)).status).toBe(200);
      app.clock.advance(Number(refused.headers.get('retry-after')));
      const successor = answers[0]?.body['refreshToken'] as string;
      expect((await refresh(successor)).status).toBe(200);
    }, 60_000);
  });

  it('there are none for bad tokens and keys', async () => {
    const [format, random] = [new ApiKeyFormat('live'), new SystemRandom()];
    const calls = [
      () => app.call('GET', '/users/me', { token: 'not.a.token' }),
      () => app.call('GET', '/users/me', { key: 'sk_live_000000000000000000000000000000000000' }),
      // Nothing is wrong with these but that nobody has made them.
      () => app.call('GET', '/users/me', { key: format.generate(random) }),
      () => app.call('POST', '/auth/refresh', { body: { refreshToken: 'rt_whatever' } }),
    ];

    const statuses = await times(1_200, async (index) => (await calls[index % calls.length]?.())?.status);

    expect(new Set(statuses)).toEqual(new Set([401]));
  });
});

describe('sign-ins of an account', () => {
  const failpoints = new TestFailpoints();
  let app: TestApp;
  beforeAll(async () => (app = await startApp({}, { failpoints })));
  afterAll(() => app.close());

  it('are six hundred an hour, over all devices; only who knows the password is told, and one more leaves nothing', async () => {
    const { username, password, id, deviceToken } = await newcomer(app);
    const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };
    const login = (more: object) =>
      app.call('POST', '/auth/login', { body: { username, password, ...more } });
    const left = async () => [
      (await app.rows('SELECT id FROM sessions WHERE user_id = ?', [id])).length,
      (await app.rows("SELECT id FROM audit_events WHERE user_id = ? AND type = 'signed_in'", [id])).length,
    ];
    await times(598, () => app.nest.get(RateLimits).take('sign-in', id, { userId: id, origin }));

    const last = await login({});
    const before = await left();
    const refused = [await login({}), await login({ deviceToken })];
    const guessed = await login({ password: 'a guess' });

    expect([last.status, guessed.status]).toEqual([200, 401]);
    expect(refused.map(({ status }) => status)).toEqual([429, 429]);
    expect(refused[0]?.headers.get('ratelimit-policy')).toBe('"sign-in";q=600;w=3600');
    expect(await left()).toEqual(before);
    expect(before).toEqual([2, 2]);
    app.clock.advance(Number(refused[0]?.headers.get('retry-after')));
    expect((await login({})).status).toBe(200);
  });

  it('that the database fails are not counted: whoever comes again with the right password is not kept out', async () => {
    const { username, password, id } = await newcomer(app);
    const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };
    const login = () => app.call('POST', '/auth/login', { body: { username, password } });
    await times(598, () => app.nest.get(RateLimits).take('sign-in', id, { userId: id, origin }));
    failpoints.set((point) =>
      point === 'login:password_verified' ? Promise.reject(new ApiError('service_unavailable')) : undefined,
    );

    const failed = await times(3, login);
    failpoints.set(undefined);

    expect(failed.map(({ status }) => status)).toEqual([503, 503, 503]);
    expect((await login()).status).toBe(200);
    expect((await login()).status).toBe(429);
  });
});

describe('changes of an account', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  it('are three hundred an hour and account, whichever change it is and whichever session makes it', async () => {
    const person = await newcomer(app);
    const [other, elsewhere] = [await newcomer(app), await logIn(app, person)];
    const { keyId } = await createKey(app, person.token);
    const change = (token: string) => app.call('PATCH', '/users/me', { token, body: {} });

    const statuses = await times(299, (index) => change((index % 2 === 0 ? elsewhere : person).token));
    const refused = await change((await logIn(app, person)).token);

    expect(new Set(statuses.map(({ status }) => status))).toEqual(new Set([200]));
    expect(refused.status).toBe(429);
    expect(refused.headers.get('ratelimit-policy')).toBe('"account-changes";q=300;w=3600');
    const { token } = person;
    const key = `/auth/keys/${keyId}`;
    const passwords = { currentPassword: person.password, newPassword: 'swift otter paints' };
    const others = [
      await app.call('POST', '/users/me/password', { token, body: passwords }),
      await app.call('DELETE', '/users/me', { token, body: { password: person.password } }),
      await app.call('POST', '/auth/keys', { token, body: {} }),
      await app.call('PATCH', key, { token, body: {} }),
      await app.call('POST', `${key}/rotate`, { token, body: {} }),
      await app.call('DELETE', key, { token }),
    ];
    expect(others.map(({ status }) => status)).toEqual(others.map(() => 429));
    // What ends access is never refused, nor is reading.
    expect((await app.call('GET', '/users/me', { token })).status).toBe(200);
    expect((await app.call('DELETE', '/auth/sessions?keep=current', { token })).status).toBe(204);
    expect((await app.call('POST', '/auth/logout', { token })).status).toBe(200);
    expect((await change(other.token)).status).toBe(200);
  });

  it('are half as many from one session: a stolen token leaves the owner a new password, and to delete keys', async () => {
    const owner = await newcomer(app);
    const { token } = owner;
    const { keyId } = await createKey(app, token);
    const stolen = await logIn(app, owner);
    const change = () => app.call('PATCH', '/users/me', { token: stolen.token, body: {} });

    const statuses = await times(150, change);
    const refused = await times(150, change);

    expect(new Set(statuses.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([429]));
    expect(refused[0]?.headers.get('ratelimit-policy')).toBe('"session-changes";q=150;w=3600');
    const passwords = { currentPassword: owner.password, newPassword: 'swift otter paints' };
    expect((await app.call('DELETE', `/auth/keys/${keyId}`, { token })).status).toBe(204);
    expect((await app.call('POST', '/users/me/password', { token, body: passwords })).status).toBe(204);
    expect(await app.rows('SELECT id FROM api_keys WHERE user_id = ?', [owner.id])).toEqual([]);
    expect(
      await app.rows(
        "SELECT reason FROM audit_events WHERE user_id = ? AND type IN ('limit_reached', 'password_changed')",
        [owner.id],
      ),
    ).toHaveLength(2);
  });

  it('that are answered 503 are not counted: whoever comes again as told is not kept out', async () => {
    const { id, token, username } = await newcomer(app);
    const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };
    const rename = () =>
      app.call('PATCH', '/users/me', { token, body: { email: `${username}@example.org` } });
    await times(299, () => app.nest.get(RateLimits).take('account-changes', id, { userId: id, origin }));
    await app.rows('ALTER TABLE users RENAME TO users_hidden');

    const failed = await times(3, rename);
    await app.rows('ALTER TABLE users_hidden RENAME TO users');

    expect(failed.map(({ status }) => status)).toEqual([503, 503, 503]);
    expect((await rename()).status).toBe(200);
    expect((await rename()).status).toBe(429);
  });
});

describe('RATE_LIMITS=off', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ RATE_LIMITS: 'off' })));
  afterAll(() => app.close());

  it('limits nothing', async () => {
    const { username, ...person } = await newcomer(app);

    const guesses = await times(30, () =>
      app.call('POST', '/auth/login', { body: { username, password: 'a guess' } }),
    );
    const signUps = await times(120, () => app.call('POST', '/users', { body: {} }));

    expect(new Set(guesses.map(({ status }) => status))).toEqual(new Set([401]));
    expect(new Set(signUps.map(({ status }) => status))).toEqual(new Set([400]));
    expect((await logIn(app, { username, ...person })).deviceToken).toMatch(/^dt_/);
  });

  it('is said loudly at the start', () => {
    expect(app.logged).toContainEqual(
      expect.objectContaining({ level: 'warn', msg: expect.stringMatching(/^RATE_LIMITS=off/) as string }),
    );
  });
});

describe('a limit that is reached while the database takes no events', () => {
  let app: TestApp;
  beforeEach(async () => (app = await startApp({ TRUST_PROXY: 'loopback' })));
  afterEach(() => app.close());

  const addresses = ['192.0.2.11', '192.0.2.12'] as const;
  const [HIDE, SHOW] = [
    'ALTER TABLE audit_events RENAME TO audit_events_hidden',
    'ALTER TABLE audit_events_hidden RENAME TO audit_events',
  ];
  const attempts = (count: number, address: string) =>
    times(count, () => app.call('POST', '/users', { body: {}, headers: { 'X-Forwarded-For': address } }));
  const linesOfLimits = () =>
    app.logged.filter(({ msg }) => /^(A limit is|Limits that|Service temp|Other calls)/.test(String(msg)));

  it('refuses as ever, is one line however many are refused, and is made up for later', async () => {
    for (const address of addresses) await attempts(100, address);
    await app.rows(HIDE);

    const refused = [...(await attempts(50, addresses[0])), ...(await attempts(5, addresses[1]))];
    app.clock.push(1);
    refused.push(...(await attempts(5, addresses[0])));
    const meanwhile = linesOfLimits();
    await app.rows(SHOW);
    app.clock.push(1);
    refused.push(...(await attempts(2, addresses[0])));

    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([429]));
    expect(meanwhile).toEqual([
      expect.objectContaining({ level: 'warn', msg: 'Limits that are reached cannot be written down' }),
    ]);
    expect(linesOfLimits().slice(1)).toEqual([
      expect.objectContaining({ msg: 'Limits that are reached are written down again' }),
      ...addresses.map((ip) => expect.objectContaining({ msg: 'A limit is reached', ip }) as object),
    ]);
    const events = await app.rows<{ ip: string }>(
      "SELECT ip FROM audit_events WHERE type = 'limit_reached' ORDER BY id",
    );
    expect(events.map(({ ip }) => ip)).toEqual(addresses);
  });

  it('is made up for by a clean stop, which seals it too', async () => {
    await app.rows(HIDE);
    for (const address of addresses) await attempts(101, address);
    await app.rows(SHOW);
    // A round that met the same outage: the last one is left out until another has succeeded.
    if (app.logged.some(({ msg }) => String(msg).startsWith('The audit trail cannot be sealed')))
      await app.logs('The audit trail is sealed again');

    await app.nest.close();

    const events = await app.database.rows<{ ip: string; sequence: unknown }>(
      "SELECT ip, sequence FROM audit_events WHERE type = 'limit_reached' ORDER BY id",
    );
    expect(events).toEqual(addresses.map((ip) => ({ ip, sequence: expect.anything() as unknown })));
  });

  it('is lost by a stop that cannot write it down either, which says so', async () => {
    await app.rows(HIDE);
    for (const address of addresses) await attempts(101, address);

    await app.nest.close();
    await app.database.rows(SHOW);

    expect(linesOfLimits()).toEqual([
      expect.objectContaining({ level: 'warn', msg: 'Limits that are reached cannot be written down' }),
      expect.objectContaining({
        ...{ level: 'warn', events: 2 },
        msg: 'Limits that were reached are lost, since the service stops',
      }),
    ]);
    expect(await app.database.rows("SELECT 1 FROM audit_events WHERE type = 'limit_reached'")).toEqual([]);
  });
});
