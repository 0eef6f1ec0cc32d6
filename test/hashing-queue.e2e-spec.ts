import { availableParallelism } from 'node:os';
import { LaneQueue } from '../src/crypto/lane-queue';
import {
  type HashLane,
  type HashPlace,
  LONGEST_WAIT_MS,
  PasswordHasher,
} from '../src/crypto/password-hasher';
import { type NewPasswordLane, PasswordStrength, QUEUE_LIMITS } from '../src/passwords/password-strength';
import { RateLimits } from '../src/rate-limit/rate-limits';
import { type Answer, startApp, type TestApp } from './support/app';
import { gate } from './support/gate';
import { logIn, type LoginBody, newcomer, type Person, signUp, statusWith } from './support/people';
import { withFreshFeed } from './support/polls';
import { quiet } from './support/quiet';
import { statementsDuring } from './support/statements';

/** One core is left to the event loop. */
const THREADS = Math.max(1, availableParallelism() - 1);

/** How many strangers may wait in these tests, on a machine with any number of cores. */
const STRANGERS = 64;

describe('a login storm', () => {
  let app: TestApp;
  let queue: LaneQueue<HashLane>;
  let pool: { threads: unknown[]; run: (task: { password: string }) => Promise<unknown> };
  let person: Person & LoginBody;
  beforeAll(async () => {
    // As many hashes a second on every machine: the more threads, the longer each takes.
    app = await startApp(
      { RATE_LIMITS: 'off', TRUST_PROXY: 'loopback' },
      { hashCost: { memoryKib: 19_456, passes: THREADS, lanes: 1 } },
    );
    ({ queue, pool } = app.nest.get<{ queue: typeof queue; pool: typeof pool }>(PasswordHasher));
    queue.limits = { ...queue.limits, unknown: STRANGERS };
    person = await newcomer(app);
  });
  afterAll(() => app.close());

  let count = 0;
  const stranger = () => {
    count += 1;
    return app.call('POST', '/auth/login', {
      body: { username: `stranger-${count}`, password: 'not the password' },
    });
  };

  it('of 400 at once fills its queue and no more; the rest is refused at once, and others are served meanwhile', async () => {
    const answered: (number | 'bearer')[] = [];
    let longest = 0;
    let mostThreads = 0;
    let bearer: Promise<void> | undefined;
    const retryAfter = new Set<string | null>();
    const arrive = async (answer: Promise<Answer>): Promise<void> => {
      const { status, headers } = await answer;
      answered.push(status);
      longest = Math.max(longest, queue.length('unknown'));
      mostThreads = Math.max(mostThreads, pool.threads.length);
      if (status !== 503) return;
      retryAfter.add(headers.get('retry-after'));
      bearer ??= statusWith(app, person).then((bearerStatus) => {
        expect(bearerStatus).toBe(200);
        answered.push('bearer');
      });
    };

    await Promise.all(Array.from({ length: 400 }, () => arrive(stranger())));
    await bearer;

    const bound = queue.limits.unknown;
    const refused = answered.filter((status) => status === 503);
    const accepted = answered.filter((status) => status === 401);
    expect(refused.length + accepted.length).toBe(400);
    expect(refused.length).toBeGreaterThan(0);
    expect(accepted.length).toBeGreaterThanOrEqual(bound);
    expect(longest).toBeLessThanOrEqual(bound);
    // Each has one hash in memory at a time, of 19 MiB.
    expect(mostThreads).toBe(THREADS);
    // When the last was refused the queue was full: all of it was still to be answered, and so it was for the bearer.
    const behind = (what: number | 'bearer') =>
      answered.slice(answered.lastIndexOf(what)).filter((status) => status === 401).length;
    expect(behind(503)).toBeGreaterThan(bound / 2);
    expect(behind('bearer')).toBeGreaterThan(bound / 2);
    expect([...retryAfter]).toEqual(['1']);
    expect(queue.length()).toBe(0);
    // A line for each that is refused would fill the disk.
    expect(app.logged.filter(({ level }) => level === 'error')).toEqual([]);
  }, 60_000);

  it('keeps nobody waiting who is known, signed in or new', async () => {
    const bound = queue.limits.unknown;
    let over = false;
    const storm = Array.from({ length: bound + 20 }, async () => {
      while (!over) await stranger();
    });
    const waiting: number[] = [];
    const during = async <T>(what: Promise<T>): Promise<T> => {
      const result = await what;
      waiting.push(queue.length('unknown'));
      return result;
    };
    while (queue.length('unknown') < bound) await statusWith(app, person);
    const { username, password, token, deviceToken } = person;

    const known = await during(
      app.call<LoginBody>('POST', '/auth/login', { body: { username, password, deviceToken } }),
    );
    const changed = await during(
      app.call('POST', '/users/me/password', {
        token,
        body: { currentPassword: password, newPassword: 'swift otter paints' },
      }),
    );
    const newer = await during(signUp(app));
    over = true;
    await Promise.all(storm);

    expect([known.status, known.body.user.id]).toEqual([200, person.id]);
    expect(changed.status).toBe(204);
    // The storm did not abate while these went by.
    expect(waiting.filter((length) => length < bound / 2)).toEqual([]);
    await logIn(app, { ...person, password: 'swift otter paints' });
    await logIn(app, newer);
  }, 60_000);

  it('of right passwords from one address lets a stranger from another in at the next turn', async () => {
    const [many, one] = [await signUp(app), await signUp(app, { password: 'seven copper lanterns' })];
    const login = ({ username, password }: Person, address: string) =>
      app.call('POST', '/auth/login', {
        body: { username, password },
        headers: { 'X-Forwarded-For': address },
      });
    const bound = queue.limits.unknown;
    const begun = jest.spyOn(pool, 'run');
    const begunWith = () => begun.mock.calls.map(([{ password }]) => password);
    let atArrival: { begun: number; waiting: number } | undefined;
    const come = jest.spyOn(queue, 'run').mockImplementation((place: HashPlace, work) => {
      if (place.network === '192.0.2.2') {
        atArrival = { begun: begunWith().length, waiting: queue.length('unknown') };
      }
      return LaneQueue.prototype.run.call(queue, place, work);
    });
    const statuses: number[] = [];
    let over = false;
    const storm = Array.from({ length: bound + 20 }, async () => {
      while (!over) statuses.push((await login(many, '192.0.2.1')).status);
    });
    while (queue.length('unknown') < bound) await statusWith(app, person);

    const { status } = await login(one, '192.0.2.2');

    over = true;
    await Promise.all(storm);
    const turn = begunWith().indexOf(one.password) - (atArrival?.begun ?? NaN);
    for (const spy of [begun, come]) spy.mockRestore();
    expect(status).toBe(200);
    expect(atArrival?.waiting).toBeGreaterThan(bound / 2);
    expect(turn).toBeLessThanOrEqual(1);
    expect(new Set(statuses)).toEqual(new Set([200, 503]));
  }, 60_000);
});

describe('a storm of sign-ups with weak passwords', () => {
  let app: TestApp;
  let queue: LaneQueue<NewPasswordLane>;
  let pool: { run: (task: unknown) => Promise<unknown> };
  beforeAll(async () => {
    app = await startApp({ RATE_LIMITS: 'off', TRUST_PROXY: 'loopback' });
    ({ queue, pool } = app.nest.get<{ queue: typeof queue; pool: typeof pool }>(PasswordStrength));
  });
  afterAll(() => app.close());

  it('from one address fills its own places and keeps neither an owner nor another address from setting a password', async () => {
    const person = await newcomer(app);
    const goOn = gate();
    const judge = pool.run.bind(pool);
    jest.spyOn(pool, 'run').mockImplementation(async (task) => {
      await goOn.opened;
      return judge(task);
    });
    let count = 0;
    const weakSignUp = () => {
      const username = `weak-${(count += 1)}`;
      const body = { username, email: `${username}@example.com`, password: 'password1234' };
      return app.call('POST', '/users', { body, headers: { 'X-Forwarded-For': '192.0.2.1' } });
    };
    const most = QUEUE_LIMITS.registration;
    // One more is under way, and the last finds no room.
    const storm = Array.from({ length: most + 1 }, weakSignUp);
    while (queue.length('registration') < most) await statusWith(app, person);
    const oneTooMany = await weakSignUp();

    const changed = app.call('POST', '/users/me/password', {
      token: person.token,
      body: { currentPassword: person.password, newPassword: 'swift otter paints' },
    });
    const newer = signUp(app);
    while (queue.length('account') === 0) await statusWith(app, person);
    // One of those who came before makes room for the other address.
    const displaced = await Promise.race(storm);
    goOn.open();

    expect([oneTooMany.status, displaced.status]).toEqual([503, 503]);
    expect((await changed).status).toBe(204);
    await logIn(app, await newer);
    const statuses = (await Promise.all(storm)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 503)).toHaveLength(1);
    expect(statuses.filter((status) => status === 400)).toHaveLength(most);
    expect(queue.length()).toBe(0);
  }, 60_000);
});

describe('a lane that is full', () => {
  let app: TestApp;
  let queue: LaneQueue<HashLane>;
  let limits: LaneQueue<HashLane>['limits'];
  let person: Person & LoginBody;
  beforeAll(async () => {
    app = await startApp({ TRUST_PROXY: 'loopback' });
    ({ queue } = app.nest.get<{ queue: typeof queue }>(PasswordHasher));
    ({ limits } = queue);
    person = await newcomer(app);
    await app.inDatabase((tx) => tx.query('DELETE FROM password_attempts'));
    await quiet(app);
  });
  afterEach(() => void (queue.limits = limits));
  afterAll(() => app.close());

  const login = (body: object, address = '192.0.2.1') =>
    app.call('POST', '/auth/login', { body, headers: { 'X-Forwarded-For': address } });
  const signIn = (more: object = {}) => {
    const { username, password } = person;
    return login({ username, password, ...more });
  };

  /** What each limit by windows of time stands at, all whom it counts together. */
  const counted = () =>
    [...app.nest.get(RateLimits).counters].map(([name, counters]) => {
      const { local } = counters as unknown as { local: { dump(): { storage: { value: number }[] } } };
      return [name, local.dump().storage.reduce((sum, { value }) => sum + value, 0)];
    });

  it.each<[string, string[], string[], () => Promise<Answer>]>([
    ['a stranger who signs in', [], [], () => signIn()],
    ['a known device', ['SELECT users'], [], () => signIn({ deviceToken: person.deviceToken })],
    [
      'a sign-up',
      [],
      ['sign-up'],
      () =>
        app.call('POST', '/users', {
          body: { username: 'newer', email: 'newer@example.com', password: 'nine brass kettles' },
        }),
    ],
    [
      'a change of the password',
      [],
      [],
      () =>
        app.call('POST', '/users/me/password', {
          token: person.token,
          body: { currentPassword: person.password, newPassword: 'swift otter paints' },
        }),
    ],
    [
      'a deletion of the account',
      [],
      [],
      () => app.call('DELETE', '/users/me', { token: person.token, body: { password: person.password } }),
    ],
  ])(
    'sends %s away before the database is asked for more than this: %j; what is counted: %j',
    async (_, asked, taken, call) => {
      queue.limits = { known: 0, unknown: 0, account: 0, registration: 0 };
      const before = counted();
      let status: number | undefined;

      const sent = await withFreshFeed(app, () =>
        statementsDuring(app, async () => ({ status } = await call())),
      );

      expect(status).toBe(503);
      expect(sent.map(({ sql }) => sql.replace(/^\s*(\w+)[\s\S]*?\bFROM\W+(\w+)[\s\S]*$/, '$1 $2'))).toEqual(
        asked,
      );
      expect(await app.rows('SELECT id FROM password_attempts')).toEqual([]);
      expect(counted()).toEqual(
        before.map(([name, value]) => [name, Number(value) + (taken.includes(name as string) ? 1 : 0)]),
      );
    },
  );

  it.each([
    [
      'known',
      'signs in from a known device',
      ({ username, password, deviceToken }: Person & LoginBody, address: string) =>
        login({ username, password, deviceToken }, address),
    ],
    [
      'account',
      'changes a password',
      ({ token, password }: Person & LoginBody, address: string) =>
        app.call('POST', '/users/me/password', {
          token,
          body: { currentPassword: password, newPassword: 'swift otter paints' },
          headers: { 'X-Forwarded-For': address },
        }),
    ],
  ] as const)(
    '%s keeps out nobody from elsewhere who %s, however many accounts fill it from one address',
    async (lane, _, call) => {
      const [owner, ...free] = [
        await newcomer(app),
        await newcomer(app),
        await newcomer(app),
        await newcomer(app),
      ];
      const held = gate();
      const holders = Array.from({ length: (queue as unknown as { free: number }).free }, () =>
        queue.run({ lane: 'unknown', network: 'test', subject: 'test' }, () => held.opened),
      );
      queue.limits = { ...limits, [lane]: free.length };
      const crowd = free.map((person) => call(person, '192.0.2.4'));
      while (queue.length(lane) < free.length) await app.fetch('/health/live');

      const answer = call(owner, '192.0.2.5');
      const displaced = await Promise.race([...crowd, answer]);
      queue.limits = limits;
      held.open();

      expect(displaced.status).toBe(503);
      expect([200, 204]).toContain((await answer).status);
      const statuses = await Promise.all(crowd.map(async (other) => (await other).status));
      expect(statuses.filter((status) => status === 503)).toHaveLength(1);
      await Promise.all(holders);
    },
  );

  it('counts no failure of who has made room for another', async () => {
    await app.inDatabase((tx) => tx.query('DELETE FROM password_attempts'));
    const held = gate();
    const holders = Array.from({ length: (queue as unknown as { free: number }).free }, () =>
      queue.run({ lane: 'account', network: 'test', subject: 'test' }, () => held.opened),
    );
    queue.limits = { ...limits, unknown: 2 };
    const wait = async (login: Promise<Answer>, waiting: number) => {
      while (queue.length('unknown') < waiting) await app.fetch('/health/live');
      return { login };
    };
    const guess = { username: person.username, password: 'a guess' };

    const first = await wait(login(guess), 1);
    const second = await wait(login(guess), 2);
    const other = login({ username: 'somebody else', password: 'a guess' }, '192.0.2.2');
    const displaced = await second.login;
    held.open();
    const answers = await Promise.all([first.login, other, ...holders]);

    expect(displaced.status).toBe(503);
    expect(displaced.headers.get('retry-after')).toBe('1');
    expect(answers.slice(0, 2)).toMatchObject([{ status: 401 }, { status: 401 }]);
    const rows = await app.rows<{ evaluated: string }>('SELECT evaluated FROM password_attempts');
    expect(rows.map(({ evaluated }) => evaluated.split(',').length)).toEqual([1, 1]);
  });

  it('refuses whose turn comes after three seconds, counts no failure of his, and hashes nothing for him', async () => {
    const held = gate();
    const holders = Array.from({ length: (queue as unknown as { free: number }).free }, () =>
      queue.run({ lane: 'account', network: 'test', subject: 'test' }, () => held.opened),
    );
    const { pool } = app.nest.get<{ pool: { run: (task: unknown) => Promise<unknown> } }>(PasswordHasher);
    const hashing = jest.spyOn(pool, 'run');
    await app.inDatabase((tx) => tx.query('DELETE FROM password_attempts'));
    const late = login({ username: 'late', password: 'a guess' }, '192.0.2.3');
    while (queue.length('unknown') === 0) await app.fetch('/health/live');
    app.clock.push(LONGEST_WAIT_MS / 1000 + 0.1);
    held.open();
    await Promise.all(holders);

    expect((await late).status).toBe(503);
    expect(hashing).not.toHaveBeenCalled();
    hashing.mockRestore();
    expect(await app.rows('SELECT evaluated, in_a_row FROM password_attempts')).toEqual([
      { evaluated: '', in_a_row: 0 },
    ]);
    expect((await signIn()).status).toBe(200);
  });
});
