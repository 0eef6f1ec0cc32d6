import { readFile } from 'node:fs/promises';
import { AuditTrail, MOST_OF_NOBODY } from '../src/audit/audit-trail';
import { PasswordHasher } from '../src/crypto/password-hasher';
import { PasswordAttemptsCleanup } from '../src/rate-limit/password-attempts-cleanup';
import { LimitHits } from '../src/rate-limit/limit-hits';
import { RateLimits, type Taken } from '../src/rate-limit/rate-limits';
import { type Answer, newSecret, startApp, type TestApp } from './support/app';
import { type LoginBody, logIn, newcomer, type Person, signUp } from './support/people';
import { quiet } from './support/quiet';
import { statementsDuring } from './support/statements';

const DAY = 24 * 3600;

describe('logins', () => {
  let app: TestApp;
  let evaluated: jest.SpyInstance;
  // The addresses of the tests are what they say they are.
  beforeAll(async () => (app = await startApp({ TRUST_PROXY: 'loopback' })));
  afterAll(() => app.close());
  // Looks on only: every password goes its way.
  beforeEach(() => (evaluated = jest.spyOn(app.nest.get(PasswordHasher), 'verify')));
  afterEach(() => evaluated.mockRestore());

  let lastAddress = 0;
  /** An address that nobody else has. */
  const newAddress = () => {
    lastAddress += 1;
    return `10.${(lastAddress >> 16) & 255}.${(lastAddress >> 8) & 255}.${lastAddress & 255}`;
  };

  const login = (
    body: object,
    headers: Record<string, string> = { 'X-Forwarded-For': newAddress() },
  ): Promise<Answer<LoginBody & { error: string }>> => app.call('POST', '/auth/login', { body, headers });

  const guess = (username: string, more: object = {}) => login({ username, password: 'a guess', ...more });

  const guessTimes = async (times: number, username: string): Promise<number[]> => {
    const statuses: number[] = [];
    for (let count = 0; count < times; count += 1) statuses.push((await guess(username)).status);
    return statuses;
  };

  /** The status of a guess, without holding the answer against the document: for floods. */
  const quickGuess = async (username: string): Promise<number> => {
    const response = await app.fetch('/api/v1/auth/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-forwarded-for': newAddress() },
      body: JSON.stringify({ username, password: 'a guess' }),
    });
    await response.arrayBuffer();
    return response.status;
  };

  const retryAfter = ({ headers }: Answer<unknown>) => Number(headers.get('retry-after'));

  const right = ({ username, password }: Person, more: object = {}) => login({ username, password, ...more });

  describe('that fail', () => {
    it('are answered 401 ten times in a row, then 429 with what the limit is', async () => {
      const { username } = await signUp(app);

      expect(await guessTimes(10, username)).toEqual(Array(10).fill(401));
      const { status, body, headers } = await guess(username);

      expect([status, body]).toEqual([429, { error: 'Too many requests' }]);
      expect(headers.get('x-error-code')).toBe('rate_limited');
      expect(headers.get('retry-after')).toBe('1');
      expect(headers.get('ratelimit')).toBe('"login-account";r=0;t=1');
      expect(headers.get('ratelimit-policy')).toBe('"login-account";q=10;w=86400');
      expect(evaluated).toHaveBeenCalledTimes(10);
    });

    it('are let in one by one after pauses that grow, and a right one as soon as it is said', async () => {
      const person = await signUp(app);
      await guessTimes(10, person.username);
      const pauses: number[] = [];

      for (let count = 0; count < 6; count += 1) {
        const pause = retryAfter(await guess(person.username));
        pauses.push(pause);
        app.clock.advance(pause - 1);
        expect((await right(person)).status).toBe(429);
        app.clock.advance(1);
        expect((await guess(person.username)).status).toBe(401);
      }
      app.clock.advance(retryAfter(await right(person)));

      expect(pauses).toEqual([1, 2, 4, 8, 16, 32]);
      expect((await right(person)).status).toBe(200);
    });

    it('are counted alike for a name that nobody has', async () => {
      const { username } = await signUp(app);
      const visible = ({ status, headers }: Answer<unknown>) => [
        status,
        headers.get('retry-after'),
        headers.get('ratelimit'),
        headers.get('ratelimit-policy'),
      ];

      await guessTimes(10, username);
      await guessTimes(10, 'nobody.of.that.name');

      expect(visible(await guess('nobody.of.that.name'))).toEqual(visible(await guess(username)));
      expect(evaluated).toHaveBeenCalledTimes(20);
    });

    it('are counted for one name however it is spelt', async () => {
      const { username } = await signUp(app, { username: 'Many.Spellings' });

      for (let count = 0; count < 5; count += 1) {
        await guess(username.toUpperCase());
        await guess('ｍany.spellings');
      }

      expect((await guess('many.SPELLINGS')).status).toBe(429);
    });

    it('are counted for the account, whatever it is called, and again as it was called before', async () => {
      const { token, ...person } = await newcomer(app);
      const rename = async (username: string) => {
        expect((await app.call('PATCH', '/users/me', { token, body: { username } })).status).toBe(200);
      };
      const visible = ({ status, headers }: Answer<unknown>) => [status, headers.get('ratelimit-policy')];
      const closed = [429, '"login-account";q=10;w=86400'];

      const [first, after]: [number[], unknown[]] = [await guessTimes(6, person.username), []];
      await rename('renamed.once');
      first.push(...(await guessTimes(4, 'renamed.once')));
      after.push(visible(await guess('renamed.once')));
      for (const name of ['renamed.twice', 'Renamed.Thrice', person.username]) {
        await rename(name);
        after.push(visible(await guess(name)), visible(await guess(name)));
      }

      expect(first).toEqual(Array(10).fill(401));
      expect(after).toEqual(Array(7).fill(closed));
      // Beside the sign-in before.
      expect(evaluated).toHaveBeenCalledTimes(1 + 10);
      app.clock.advance(1);
      expect((await right(person)).status).toBe(200);
    });

    it('stay with the account that they were counted for: who takes the name that it had begins anew', async () => {
      const { token, ...person } = await newcomer(app);
      await guessTimes(10, person.username);
      expect((await right(person)).status).toBe(429);
      await app.call('PATCH', '/users/me', { token, body: { username: 'moved.away' } });
      const successor = await signUp(app, { username: person.username });

      // The name is remembered as closed, at first by the account that had it.
      expect((await right(successor)).status).toBe(429);
      app.clock.advance(1);
      expect((await right(successor)).status).toBe(200);
      expect(await guessTimes(11, successor.username)).toEqual([...Array<number>(10).fill(401), 429]);
      // What the one counts took nothing from the other: it goes on where it was.
      expect(await guessTimes(2, 'moved.away')).toEqual([401, 429]);
    });

    it('hold a name closed for a minute at the most that somebody else has taken, however often it is tried', async () => {
      const { token, ...person } = await newcomer(app);
      await guessTimes(10, person.username);
      for (let count = 0; count < 8; count += 1) {
        app.clock.advance(retryAfter(await guess(person.username)));
        expect((await guess(person.username)).status).toBe(401);
      }
      await app.call('PATCH', '/users/me', { token, body: { username: 'moved.too' } });
      const successor = await signUp(app, { username: person.username });
      const statuses: number[] = [];

      for (let count = 0; count < 13; count += 1) {
        statuses.push((await right(successor)).status);
        app.clock.push(5);
      }

      expect(statuses).toEqual([...Array<number>(12).fill(429), 200]);
    });

    it('are not counted for an account whose id is spelt like the name', async () => {
      const person = await signUp(app);

      for (const name of [person.id, `account ${person.id}`]) await guessTimes(10, name);

      expect((await right(person)).status).toBe(200);
      expect((await guess(person.id)).status).toBe(429);
    });

    it('are not let in, nor counted apart, by blanks that one engine takes no notice of', async () => {
      const { username, password } = await signUp(app);

      const answers = [];
      for (const blanks of [' ', '  ', '\t', ' '.repeat(150), '\u3000', '\u00A0'])
        answers.push(await login({ username: `${username}${blanks}`, password }));

      expect(answers.map(({ headers }) => headers.get('x-error-code'))).toEqual(
        Array(6).fill('user_not_found'),
      );
    });

    it('are no more than ten when a thousand come at once, from as many addresses', async () => {
      const { username } = await signUp(app);

      const statuses = await Promise.all(Array.from({ length: 1000 }, () => quickGuess(username)));

      const answered = (wanted: number) => statuses.filter((status) => status === wanted).length;
      // On a slow machine some run out of time.
      const [failed, late] = [answered(401), answered(503)];
      expect(failed).toBeGreaterThan(0);
      expect(failed + late).toBeGreaterThanOrEqual(10);
      expect(answered(429)).toBe(1000 - failed - late);
      expect(evaluated.mock.calls.length).toBeGreaterThanOrEqual(failed);
      expect(evaluated.mock.calls.length).toBeLessThanOrEqual(10);
    }, 60_000);

    it('are at most a hundred a day, however many addresses, also when the owner signs in between', async () => {
      const person = await signUp(app);
      const begun = app.clock.now().getTime();
      let failures = 0;
      let refused: Answer<unknown> | undefined;
      while (app.clock.now().getTime() < begun + DAY * 1000) {
        const answer = await guess(person.username);
        if (answer.status === 401) failures += 1;
        else if (failures >= 100) {
          refused = answer;
          break;
        } else {
          app.clock.advance(retryAfter(answer));
          await right(person);
        }
      }

      expect(failures).toBe(100);
      expect(refused?.headers.get('ratelimit-policy')).toBe('"login-account";q=100;w=86400');
      const wait = retryAfter(refused as Answer<unknown>);
      expect(wait).toBeGreaterThan(3600);
      app.clock.advance(wait);
      expect((await right(person)).status).toBe(200);
    }, 60_000);

    it('are forgotten in a row by a success', async () => {
      const person = await signUp(app);

      await guessTimes(9, person.username);
      expect((await right(person)).status).toBe(200);

      expect(await guessTimes(11, person.username)).toEqual([...Array<number>(10).fill(401), 429]);
    });

    it('do not count those that were not evaluated for trouble of ours', async () => {
      const { username } = await signUp(app);
      const hasher = app.nest.get<{ run: unknown }>(PasswordHasher);
      const { run } = hasher;
      hasher.run = () => Promise.reject(new Error('out of threads'));
      const troubled = await guessTimes(12, username);
      hasher.run = run;

      expect(troubled).toEqual(Array(12).fill(500));
      expect(await guessTimes(10, username)).toEqual(Array(10).fill(401));
    });

    it('are kept over a restart', async () => {
      const person = await signUp(app);
      await guessTimes(10, person.username);

      await app.restart();
      evaluated = jest.spyOn(app.nest.get(PasswordHasher), 'verify');

      expect((await right(person)).status).toBe(429);
    });

    it('are stored under no name, neither of a user nor of what was typed in its place', async () => {
      const { username } = await signUp(app);
      await guess(username);
      await guess('my-password-in-the-wrong-field');

      const stored = JSON.stringify(await app.rows('SELECT * FROM password_attempts'));

      expect(stored).not.toContain(username);
      expect(stored).not.toContain('my-password');
    });

    it('are written down once an hour and name, with the account and whence', async () => {
      const { id, username } = await signUp(app);
      await guessTimes(10, username);
      const events = () =>
        app.rows("SELECT * FROM audit_events WHERE user_id = ? AND type = 'limit_reached'", [id]);

      const first = await login({ username, password: 'a guess' }, { 'X-Forwarded-For': '192.0.2.77' });
      for (let count = 0; count < 20; count += 1) await guess(username);

      expect(await events()).toEqual([
        expect.objectContaining({ ip: '192.0.2.77', request_id: first.headers.get('x-request-id') }),
      ]);
      app.clock.advance(3600);
      await guessTimes(2, username);
      expect(await events()).toHaveLength(2);
    });

    it('leave no rows behind that count no more', async () => {
      const { username } = await signUp(app);
      await guess(username);
      const count = async () =>
        Number((await app.rows<{ n: number }>('SELECT COUNT(*) AS n FROM password_attempts'))[0]?.n);
      expect(await count()).toBeGreaterThan(0);

      app.clock.advance(2 * DAY);
      await app.nest.get(PasswordAttemptsCleanup).sweep();

      expect(await count()).toBe(0);
    });
  });

  describe('from a known device', () => {
    /** Somebody who has signed in, and whose name is then attacked. */
    const attacked = async () => {
      const { deviceToken, ...person } = await newcomer(app);
      await guessTimes(10, person.username);
      expect((await right(person)).status).toBe(429);
      return { person, deviceToken };
    };

    it('are let in at once after ten thousand failures of strangers', async () => {
      const { deviceToken, ...person } = await newcomer(app);
      const flood = new Map<number, number>();
      // So few at a time that on a slow machine too none runs out of it.
      for (let count = 0; count < 400; count += 1) {
        const statuses = await Promise.all(Array.from({ length: 25 }, () => quickGuess(person.username)));
        for (const status of statuses) flood.set(status, (flood.get(status) ?? 0) + 1);
      }
      expect(Object.fromEntries(flood)).toEqual({ 401: 10, 429: 9_990 });
      expect((await right(person)).status).toBe(429);

      const { status, body } = await right(person, { deviceToken });

      expect(status).toBe(200);
      expect(body.deviceToken).toBe(deviceToken);
      expect((await right(person)).status).toBe(429);
    }, 400_000);

    it('are let in though strangers at the same address have used up what it may', async () => {
      const { deviceToken, ...person } = await newcomer(app);
      const address = { 'X-Forwarded-For': newAddress() };
      for (let count = 0; count < 100; count += 1) {
        const { status } = await login({ username: `stranger-${count}`, password: 'x' }, address);
        expect(status).toBe(401);
      }
      const { username, password } = person;
      expect((await login({ username, password }, address)).status).toBe(429);

      expect((await login({ username, password, deviceToken }, address)).status).toBe(200);
    });

    it('are limited too, by the device, and strangers do not notice', async () => {
      const { deviceToken, ...person } = await newcomer(app);
      const statuses: number[] = [];
      for (let count = 0; count < 11; count += 1)
        statuses.push((await guess(person.username, { deviceToken })).status);

      const refused = await right(person, { deviceToken });

      expect(statuses).toEqual([...Array<number>(10).fill(401), 429]);
      expect(refused.headers.get('ratelimit-policy')).toBe('"login-device";q=10;w=86400');
      expect((await right(person)).status).toBe(200);
      app.clock.advance(retryAfter(refused));
      expect((await right(person, { deviceToken })).status).toBe(200);
    });

    it('ask for one account a minute, whatever token and names they show, where the address is used up', async () => {
      const { deviceToken, ...person } = await newcomer(app);
      const address = { 'X-Forwarded-For': newAddress() };
      for (let count = 0; count < 100; count += 1) {
        await login({ username: `used-up-${count}`, password: 'x' }, address);
      }
      const [first, ...others] = await Promise.all(Array.from({ length: 5 }, () => signUp(app)));
      await login({ username: first?.username, password: 'x', deviceToken }, address);
      await quiet(app);
      const statuses: number[] = [];
      const guessOthers = async () => {
        for (const { username } of others) {
          statuses.push((await login({ username, password: 'x', deviceToken }, address)).status);
        }
      };

      const sent = await statementsDuring(app, guessOthers);
      app.clock.push(60);
      await quiet(app);
      const later = await statementsDuring(app, guessOthers);

      const lookUps = (statements: { sql: string }[]) =>
        statements.filter(({ sql }) => /FROM\W+users\b/.test(sql)).length;
      expect([lookUps(sent), lookUps(later)]).toEqual([0, 1]);
      expect(statuses).toEqual(Array<number>(8).fill(429));
      // Nor does it keep its own account's device out.
      expect((await right(person, { deviceToken })).status).toBe(200);
    });

    it('are from a stranger for any other account', async () => {
      const { deviceToken } = await newcomer(app);
      const { person } = await attacked();

      expect((await right(person, { deviceToken })).status).toBe(429);
    });

    it('are from a stranger after a change of the password', async () => {
      const { token, deviceToken, ...person } = await newcomer(app);
      const newPassword = 'a password after that one';
      const change = { currentPassword: person.password, newPassword };
      await app.call('POST', '/users/me/password', { token, body: change });
      await guessTimes(10, person.username);

      expect((await right({ ...person, password: newPassword }, { deviceToken })).status).toBe(429);
    });

    it.each<[string, (good: string) => string]>([
      ['nothing', () => ''],
      ['any text', () => 'some text'],
      ['one with a bit changed', (good) => good.replace(/.$/, (last) => (last === 'A' ? 'Q' : 'A'))],
      ['one cut short', (good) => good.slice(0, -8)],
      ['one of 256 characters', () => `dt_${'A'.repeat(253)}`],
    ])('are from a stranger when they show %s, and are no fault', async (_, change) => {
      const { person, deviceToken } = await attacked();

      expect((await right(person, { deviceToken: change(deviceToken) })).status).toBe(429);
      app.clock.advance(1);
      const { status, body } = await right(person, { deviceToken: change(deviceToken) });
      expect(status).toBe(200);
      expect(body.deviceToken).not.toBe(deviceToken);
    });

    it.each([
      ['257 characters', 'x'.repeat(257)],
      ['a number', 1],
      ['null', null],
    ])('are refused with 400 when the token is %s', async (_, deviceToken) => {
      const { status, body } = await guess('anybody', { deviceToken });

      expect(status).toBe(400);
      const { details } = body as unknown as { details: { field: string }[] };
      expect(new Set(details.map(({ field }) => field))).toEqual(new Set(['deviceToken']));
    });

    it('are known after the master secret was changed, while the old one is listed', async () => {
      const { deviceToken, ...person } = await newcomer(app);
      const { authSecret } = app.config;
      const previous = authSecret ?? (await masterSecretOf(app));
      const changed = { AUTH_SECRET: newSecret() };
      await app.restart({ ...changed, AUTH_SECRET_PREVIOUS: previous });
      await guessTimes(10, person.username);

      const { status, body } = await right(person, { deviceToken });
      const again = await right(person, { deviceToken: body.deviceToken });
      await app.restart();

      expect([status, again.status]).toEqual([200, 200]);
      expect(body.deviceToken).not.toBe(deviceToken);
      expect(again.body.deviceToken).toBe(body.deviceToken);
    });

    it('show a token that opens nothing by itself', async () => {
      const { deviceToken, username } = await newcomer(app);

      expect((await app.call('GET', '/users/me', { token: deviceToken })).status).toBe(401);
      expect((await app.call('POST', '/auth/refresh', { body: { refreshToken: deviceToken } })).status).toBe(
        401,
      );
      expect((await guess(username, { deviceToken })).status).toBe(401);
    });
  });

  describe('of many accounts from one address', () => {
    it('are evaluated as long as no more than a hundred fail in ten minutes, whatever succeeds', async () => {
      const person = await signUp(app);
      const address = { 'X-Forwarded-For': '2001:db8:7:7::1' };
      const { username, password } = person;
      for (let count = 0; count < 100; count += 1) {
        expect((await login({ username: `sprayed-${count}`, password: 'x' }, address)).status).toBe(401);
        if (count % 10 === 0) expect((await login({ username, password }, address)).status).toBe(200);
      }

      const same = await login({ username, password }, address);
      const sameNetwork = await login({ username, password }, { 'X-Forwarded-For': '2001:DB8:7:7:ffff::' });
      const otherNetwork = await login({ username, password }, { 'X-Forwarded-For': '2001:db8:7:8::1' });

      expect([same.status, sameNetwork.status, otherNetwork.status]).toEqual([429, 429, 200]);
      expect(same.headers.get('ratelimit-policy')).toBe('"login-address";q=100;w=600');
      app.clock.advance(retryAfter(same));
      expect((await login({ username, password }, address)).status).toBe(200);
    });

    it('are a thousand from one IPv6 /48, over all its addresses, whatever succeeds, and not counted for IPv4', async () => {
      const limits = app.nest.get(RateLimits);
      const network = (block: number) => ({ 'X-Forwarded-For': `2001:db8:48:${block.toString(16)}::1` });
      const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };
      const { username, password } = await signUp(app);
      for (let count = 0; count < 998; count += 1) {
        await limits.take('login-network', '2001:db8:48::/48', { userId: null, origin });
      }

      const statuses: number[] = [];
      for (let block = 0; block < 5; block += 1) {
        statuses.push((await login({ username, password }, network(block))).status);
      }
      for (let block = 5; block < 7; block += 1) {
        statuses.push((await login({ username: `in-${block}`, password: 'x' }, network(block))).status);
      }
      const refused = await login({ username, password }, network(7));

      expect(statuses).toEqual([200, 200, 200, 200, 200, 401, 401]);
      expect(refused.status).toBe(429);
      expect(refused.headers.get('ratelimit-policy')).toBe('"login-network";q=1000;w=600');
      expect((await login({ username, password }, { 'X-Forwarded-For': '2001:db8:49::1' })).status).toBe(200);
      const counted = () => limits.counters.get('login-network')?.held;
      const before = counted();
      await login({ username: 'by IPv4', password: 'x' });
      expect(counted()).toBe(before);
      app.clock.advance(retryAfter(refused));
      expect((await login({ username, password }, network(7))).status).toBe(200);
    });

    it('count nothing for an address that is refused for its network', async () => {
      const limits = app.nest.get(RateLimits);
      const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };
      const from = { 'X-Forwarded-For': '2001:db8:4a:1::1' };
      const taken: Taken[] = [];
      for (let count = 0; count < 1000; count += 1) {
        taken.push(await limits.take('login-network', '2001:db8:4a::/48', { userId: null, origin }));
      }
      const statuses = new Set<number>();
      for (let count = 0; count < 101; count += 1) {
        statuses.add((await login({ username: `refused-${count}`, password: 'x' }, from)).status);
      }

      for (const one of taken) await one.giveBack();

      expect(statuses).toEqual(new Set([429]));
      expect((await login({ username: 'after all', password: 'x' }, from)).status).toBe(401);
    });

    it('do not keep out who comes after bursts of good ones, of which some were turned away', async () => {
      const limits = app.nest.get(RateLimits);
      const caller = { userId: null, origin: { ip: '', userAgent: null, requestId: 'req_of_the_test' } };
      const address = newAddress();
      const burst = () =>
        Promise.allSettled(Array.from({ length: 150 }, () => limits.take('login-address', address, caller)));
      const admitted: number[] = [];
      for (let bursts = 0; bursts < 3; bursts += 1) {
        const taken = (await burst()).flatMap((outcome) =>
          outcome.status === 'fulfilled' ? [outcome.value] : [],
        );
        admitted.push(taken.length);
        for (const one of taken) await one.giveBack();
      }

      expect(admitted).toEqual([100, 100, 100]);
    });

    it('are no more than a hundred when they all come at once', async () => {
      const address = { 'X-Forwarded-For': newAddress() };

      const answers = await Promise.all(
        Array.from({ length: 300 }, (_, index) =>
          login({ username: `at-once-${index}`, password: 'x' }, address),
        ),
      );

      const answered = (wanted: number) => answers.filter(({ status }) => status === wanted).length;
      // On a slow machine some run out of time.
      expect(answered(429) + answered(503)).toBeGreaterThanOrEqual(200);
      expect(answered(401) + answered(429) + answered(503)).toBe(300);
      expect(answered(429)).toBeGreaterThan(0);
      expect(evaluated.mock.calls.length).toBeLessThanOrEqual(100);
    });
  });
});

describe('what is written of a login that is refused', () => {
  it("takes the same statements and one commit for an account and for nobody, also when nobody's events of the hour are used up", async () => {
    const app = await startApp({ LOGIN_ERRORS: 'uniform' });
    try {
      const { username, id } = await signUp(app);
      const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };
      await quiet(app);
      for (let count = 0; count < MOST_OF_NOBODY; count += 1) {
        await app.nest.get(LimitHits).note('sign-up', `subject ${count}`, { userId: null, origin });
        const event = { type: 'sign_in_failed', userId: null, reason: 'unknown_user' } as const;
        await app.inDatabase((tx) => app.nest.get(AuditTrail).record(tx, event, origin));
      }
      const guess = (name: string) => () =>
        app.call('POST', '/auth/login', { body: { username: name, password: 'a guess' } });
      const events = (userId: string) =>
        app.rows<{ type: string }>('SELECT type FROM audit_events WHERE user_id = ? ORDER BY id', [userId]);
      const [ofNobody, sent] = [await events(''), new Map<string, string[][]>()];

      for (const name of [username, 'nobody.of.that.name']) {
        const each: string[][] = [];
        for (let count = 0; count < 11; count += 1) {
          each.push((await statementsDuring(app, guess(name))).map(({ sql }) => sql));
        }
        sent.set(name, each);
      }

      expect(sent.get('nobody.of.that.name')).toEqual(sent.get(username));
      const first429 = sent.get(username)?.at(-1) ?? [];
      expect(first429.slice(first429.indexOf('BEGIN')).map((sql) => sql.trim().split(' ')[0])).toEqual([
        ...['BEGIN', 'INSERT', 'DELETE', 'COMMIT'],
      ]);
      const types = (await events(id)).map(({ type }) => type);
      expect(types).toEqual([
        'account_created',
        ...Array<string>(10).fill('sign_in_failed'),
        'limit_reached',
      ]);
      expect(await events('')).toEqual(ofNobody);
    } finally {
      await app.close();
    }
  });
});

describe('what is written of a first guess', () => {
  it('takes the same statements for an account that has just been signed in to and for nobody', async () => {
    const app = await startApp({ LOGIN_ERRORS: 'uniform' });
    try {
      const person = await newcomer(app);
      await quiet(app);
      // Nothing is remembered any more of what was written then.
      app.clock.advance(11);
      app.clock.push(11);
      const shapes: string[][] = [];
      for (const username of [person.username, 'nobody.of.that.name']) {
        const sent = await statementsDuring(app, () =>
          app.call('POST', '/auth/login', { body: { username, password: 'a guess' } }),
        );
        shapes.push(
          sent.map(({ sql }) =>
            sql.replace(/^(?:INSERT INTO|UPDATE) password_attempts[^]*$/, 'a write of the attempts'),
          ),
        );
      }

      expect(shapes[1]).toEqual(shapes[0]);
      expect(shapes[0]).toContain('a write of the attempts');
    } finally {
      await app.close();
    }
  });
});

describe('a wrong current password', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const change = (token: string, currentPassword: string) =>
    app.call('POST', '/users/me/password', {
      token,
      body: { currentPassword, newPassword: 'yet another one' },
    });

  it('is answered 403 ten times in a row, then 429, also at the deletion of the account', async () => {
    const { token } = await newcomer(app);
    const statuses: number[] = [];
    for (let count = 0; count < 11; count += 1) statuses.push((await change(token, 'a guess')).status);

    const deletion = await app.call('DELETE', '/users/me', { token, body: { password: 'a guess' } });

    expect(statuses).toEqual([...Array<number>(10).fill(403), 429]);
    expect(deletion.status).toBe(429);
    expect(deletion.headers.get('ratelimit-policy')).toBe('"password-proof";q=10;w=86400');
  });

  it('in a stolen session keeps the owner from nothing in another', async () => {
    const person = await newcomer(app);
    for (let count = 0; count < 11; count += 1) await change(person.token, 'a guess');

    const own = await logIn(app, person);

    expect((await change(own.token, person.password)).status).toBe(204);
  });
});

/** The secret that the start made, where none is configured. */
async function masterSecretOf(app: TestApp): Promise<string> {
  return (await readFile(app.config.secretFile as string, 'utf8')).trim();
}
