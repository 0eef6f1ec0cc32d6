import { setTimeout as delay } from 'node:timers/promises';
import { KeptClock } from '../src/core/clock';
import { CounterKeeper } from '../src/rate-limit/counter-keeper';
import { LimitCountersCleanup } from '../src/rate-limit/limit-counters-cleanup';
import { LIMITS, type WindowLimitName } from '../src/rate-limit/limits';
import { RateLimits, type Taken } from '../src/rate-limit/rate-limits';
import type { WindowCounters } from '../src/rate-limit/window-counters';
import { type Answer, startApp, type TestApp } from './support/app';
import { createDatabase, type TestDatabase } from './support/database';
import { describeWhereInstalled } from './support/installed';
import { newcomer, sessionIdOf } from './support/people';
import { RedisServer } from './support/redis-server';
import { type Program, settingsFor, startServer } from './support/server-process';
import { TestClock } from './support/test-clock';

const HOUR = 3600;
const HERE = '127.0.0.1';
const ELSEWHERE = { 'X-Forwarded-For': '2001:db8:1:2::3' };

/** Has the limit count, as the requests do that it is about. */
async function take(app: TestApp, name: WindowLimitName, subject: string, times: number): Promise<Taken[]> {
  const limits = app.nest.get(RateLimits);
  const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };
  const taken: Taken[] = [];
  for (let count = 0; count < times; count += 1) {
    taken.push(await limits.take(name, subject, { userId: null, origin }));
  }
  return taken;
}

const flush = (app: TestApp) => app.nest.get(CounterKeeper).flush();

/** What is written down, the most first. */
const points = async (app: TestApp): Promise<number[]> =>
  (await app.rows<{ points: number }>('SELECT points FROM limit_counters ORDER BY points DESC')).map((row) =>
    Number(row.points),
  );

const signUp = (app: TestApp): Promise<Answer> => app.call('POST', '/users', { body: {} });

const FAILURE = 'What limits count could not be read or written down yet';
const failures = (app: TestApp) => app.logged.filter(({ msg }) => msg === FAILURE).length;

/** What a limit counts there, and a call that it counts. */
interface Way {
  subject: string;
  call: () => Promise<Answer>;
}

type Newcomer = Awaited<ReturnType<typeof newcomer>>;

/** How each limit is reached from here, by that person where it is about one; that of a session by another. */
function waysOf(app: TestApp, person: Newcomer, other: Newcomer): [WindowLimitName, Way][] {
  const nobody = { username: 'nobody', password: 'a guess' };
  const ways: Record<WindowLimitName, Way> = {
    'key-report': {
      subject: HERE,
      call: () => app.call('POST', '/auth/keys/report', { body: { apiKey: 'x' } }),
    },
    'refresh-session': {
      subject: sessionIdOf(person),
      call: () => app.call('POST', '/auth/refresh', { body: { refreshToken: person.refreshToken } }),
    },
    'login-address': { subject: HERE, call: () => app.call('POST', '/auth/login', { body: nobody }) },
    'login-network': {
      subject: '2001:db8:1::/48',
      call: () =>
        app.call('POST', '/auth/login', {
          body: nobody,
          headers: ELSEWHERE,
        }),
    },
    'sign-in': {
      subject: person.id,
      call: () => {
        const { username, password, deviceToken } = person;
        return app.call('POST', '/auth/login', { body: { username, password, deviceToken } });
      },
    },
    'sign-up': { subject: HERE, call: () => signUp(app) },
    'sign-up-network': {
      subject: '2001:db8:1::/48',
      call: () => app.call('POST', '/users', { body: {}, headers: ELSEWHERE }),
    },
    'key-report-network': {
      subject: '2001:db8:1::/48',
      call: () => app.call('POST', '/auth/keys/report', { body: { apiKey: 'x' }, headers: ELSEWHERE }),
    },
    'account-changes': {
      subject: person.id,
      call: () => app.call('PATCH', '/users/me', { token: person.token, body: {} }),
    },
    'session-changes': {
      subject: sessionIdOf(other),
      call: () => app.call('PATCH', '/users/me', { token: other.token, body: {} }),
    },
  };
  return Object.entries(ways) as [WindowLimitName, Way][];
}

describe('limits by windows of time', () => {
  let app: TestApp;
  // A token that outlives the longest window.
  beforeEach(async () => (app = await startApp({ ACCESS_TOKEN_TTL: '7200', TRUST_PROXY: 'loopback' })));
  afterEach(() => app.close());

  it('that are used up stay so over a restart, until they would have ended', async () => {
    const [person, other] = [await newcomer(app), await newcomer(app)];
    const all = waysOf(app, person, other);
    const answers = async () => {
      const said: Record<string, unknown>[] = [];
      for (const [, { call }] of all) {
        const { status, headers } = await call();
        said.push({
          status,
          ...{ policy: headers.get('ratelimit-policy'), rest: headers.get('ratelimit') },
          wait: Number(headers.get('retry-after')),
        });
      }
      return said;
    };
    for (const [name, { subject }] of all) {
      // Two have signed up, and one of them has signed in.
      const taken = { 'sign-up': 2, 'sign-in': 1 }[name as string] ?? 0;
      await take(app, name, subject, LIMITS[name].points - taken);
    }
    const before = await answers();

    await app.restart();

    expect(await answers()).toEqual(before);
    expect(before.map(({ status }) => status)).toEqual(all.map(() => 429));
    expect(await points(app)).toEqual([1000, 1000, 600, 600, 300, 150, 120, 100, 100, 60]);
    let passed = 0;
    for (const [index, [, { call }]] of all.entries()) {
      const wait = before[index]?.['wait'] as number;
      if (wait > passed) {
        app.clock.advance(wait - 1 - passed);
        expect((await call()).status).toBe(429);
        app.clock.advance(1);
        passed = wait;
      }
      expect((await call()).status).not.toBe(429);
    }
  });

  it('are written down from a tenth on: twenty thousand addresses that do less leave no row', async () => {
    for (let address = 0; address < 19_999; address += 1) await take(app, 'sign-up', `address ${address}`, 1);
    const nine = await take(app, 'sign-up', HERE, 9);
    await flush(app);
    expect(nine).toHaveLength(9);
    expect(await points(app)).toEqual([]);

    await take(app, 'sign-up', HERE, 1);
    await flush(app);

    const rows = await app.rows<{ id: string }>('SELECT id, points FROM limit_counters');
    expect(rows).toEqual([{ id: expect.stringMatching(/^sign-up:\d+:[0-9a-f]{64}$/) as string, points: 10 }]);
  });

  it('are added to what another instance has written, with what was given back taken off', async () => {
    const taken = await take(app, 'login-address', HERE, 60);
    await flush(app);
    await app.rows('UPDATE limit_counters SET points = points + 30');

    await take(app, 'login-address', HERE, 5);
    await flush(app);
    // Once more, so that nothing is left of which it is known that it has changed.
    await flush(app);
    for (const one of taken.slice(0, 20)) await one.giveBack();
    await flush(app);

    expect(await points(app)).toEqual([75]);
    await app.restart();
    await take(app, 'login-address', HERE, 25);
    await expect(take(app, 'login-address', HERE, 1)).rejects.toMatchObject({ code: 'rate_limited' });
  });

  it('take nothing off what another instance has written, though together they are beyond the limit', async () => {
    await take(app, 'sign-up', HERE, 100);
    await flush(app);
    await app.rows('UPDATE limit_counters SET points = points + 100');
    await app.restart();

    expect((await signUp(app)).status).toBe(429);
    await flush(app);

    expect(await points(app)).toEqual([200]);
  });

  it('are written a few at a time, the fullest first, and ten times as many by a clean stop', async () => {
    for (let address = 0; address < 2_399; address += 1) {
      await take(app, 'key-report', `address ${address}`, 6);
    }
    await take(app, 'sign-up', HERE, 50);

    await flush(app);
    const first = await points(app);
    await take(app, 'sign-up', HERE, 50);
    await app.restart();
    const atStop = await points(app);
    await app.restart();

    expect([first.length, first[0]]).toEqual([200, 50]);
    expect([atStop.length, atStop[0]]).toEqual([2_199, 100]);
    expect(await points(app)).toEqual(atStop);
  });

  it('are neither written nor read once their window is over, and their rows go an hour later', async () => {
    await take(app, 'sign-up', HERE, 100);
    await take(app, 'key-report', HERE, 60);
    app.clock.advance(60);
    await flush(app);
    const refused = await signUp(app);
    app.clock.advance(Number(refused.headers.get('retry-after')));

    await app.restart();

    const cleanup = app.nest.get(LimitCountersCleanup);
    expect(await points(app)).toEqual([100]);
    expect(app.nest.get(RateLimits).held).toBe(0);
    expect((await signUp(app)).status).toBe(400);
    app.clock.advance(HOUR - 1);
    expect(await cleanup.sweep()).toBe(0);
    app.clock.advance(1);
    expect(await cleanup.sweep()).toBe(1);
    expect(await points(app)).toEqual([]);
  });

  it('are read in bounded numbers, the fullest first, which are the last to make room', async () => {
    const row = (index: number) => ({
      id: `sign-up:${Math.floor(app.clock.now().getTime() / 3_600_000)}:${index}`,
      ...{ points: 10, endsAt: new Date(app.clock.now().getTime() + 1000) },
    });
    const rows = Array.from({ length: 20_000 }, (_, index) => row(index));
    for (let start = 0; start < rows.length; start += 1000) {
      await app.inDatabase((tx) => tx.insert('LimitCounterRow', rows.slice(start, start + 1000)));
    }
    await take(app, 'sign-up', HERE, 100);

    await app.restart();
    const held = () => app.nest.get(RateLimits).held;
    const before = held();
    await take(app, 'sign-up', 'somewhere else', 1);

    expect([before, held()]).toEqual([20_000, 20_000]);
    expect((await signUp(app)).status).toBe(429);
  });

  it('that made room while they were written begin anew, with nothing taken off', async () => {
    const counters = app.nest.get(RateLimits).counters.get('sign-up') as WindowCounters;
    await take(app, 'sign-up', HERE, 20);
    const [before] = counters.unwritten();

    for (let address = 0; address < 20_000; address += 1) await counters.take(`0:${address}`);
    await take(app, 'sign-up', HERE, 15);
    before?.settle();

    expect(counters.unwritten()).toEqual([expect.objectContaining({ id: before?.id, points: 15 })]);
  });

  it('are neither read nor written by a clock that is astray, but as soon as it is right', async () => {
    await take(app, 'sign-up', HERE, 99);
    await flush(app);
    const machine = new TestClock();
    const clock = new KeptClock(machine);
    machine.advance(HOUR);
    const astray = await startApp({}, { database: app.database, clock });
    await take(astray, 'sign-up', HERE, 10);
    await flush(astray);
    const written = await points(app);

    machine.advance(-HOUR);
    // In the place of the database, whose time is not the tests'.
    clock.correctBy(0);
    await flush(astray);
    const answers = [await signUp(astray), await signUp(astray)];
    await astray.nest.close();

    expect(written).toEqual([99]);
    expect(answers.map(({ status }) => status)).toEqual([400, 429]);
  });

  describe('while the database has trouble with their table', () => {
    const lose = () => app.rows('ALTER TABLE limit_counters RENAME TO lost_counters');
    const find = () => app.rows('ALTER TABLE lost_counters RENAME TO limit_counters');

    it('lose nothing, and tell of it once', async () => {
      await take(app, 'sign-up', HERE, 50);
      await lose();
      await flush(app);
      await take(app, 'sign-up', HERE, 10);
      await flush(app);
      expect(failures(app)).toBe(1);

      await find();
      await flush(app);

      expect(await points(app)).toEqual([60]);
      await lose();
      await flush(app);
      expect(failures(app)).toBe(1);
      await take(app, 'sign-up', HERE, 1);
      await flush(app);
      expect(failures(app)).toBe(2);
      await find();
    });

    it('tell of it again at a stop, where they are lost', async () => {
      await take(app, 'sign-up', HERE, 50);
      await lose();
      await flush(app);

      await app.nest.get(CounterKeeper).onApplicationShutdown();

      expect(failures(app)).toBe(2);
      await find();
    });

    it('make up at the first chance for what could not be read at the start', async () => {
      await take(app, 'sign-up', HERE, 90);
      await flush(app);
      await lose();
      await app.restart();
      await take(app, 'sign-up', HERE, 10);
      await find();

      await flush(app);

      expect((await signUp(app)).status).toBe(429);
      expect(await points(app)).toEqual([100]);
    });
  });
});

describeWhereInstalled('redis-server', 'limits by windows of time with Redis', () => {
  let redis: RedisServer;
  let app: TestApp;
  beforeAll(async () => {
    redis = await RedisServer.create();
    app = await startApp({ REDIS_URL: redis.url });
  });
  afterAll(async () => {
    await app.close();
    await redis.remove();
  });

  it('are kept by it over a restart, and by the database when it is lost', async () => {
    await take(app, 'sign-up', HERE, 100);
    await app.restart();
    expect((await signUp(app)).status).toBe(429);
    expect(await points(app)).toEqual([]);

    await redis.kill();
    await take(app, 'sign-up', HERE, 100);
    await app.restart();

    expect((await signUp(app)).status).toBe(429);
    expect(await points(app)).toEqual([100]);
  });
});

describeWhereInstalled('redis-server', 'limits by windows of time whose Redis', () => {
  let redis: RedisServer;
  let app: TestApp;
  beforeEach(async () => {
    redis = await RedisServer.create();
    app = await startApp({ REDIS_URL: redis.url, TRUST_PROXY: 'loopback' });
  });
  afterEach(async () => {
    redis.thaw();
    await app.close();
    await redis.remove();
  });

  it.each<[string, () => Promise<void>]>([
    ['is gone', () => redis.kill()],
    ['hangs', () => Promise.resolve(redis.freeze())],
  ])('%s are counted by the instance, each of them, and none is ever open', async (_, lose) => {
    const [person, other] = [await newcomer(app), await newcomer(app)];
    await lose();

    for (const [name, { subject, call }] of waysOf(app, person, other)) {
      const first = await call();
      await take(app, name, subject, LIMITS[name].points - 1);
      const beyond = await call();

      expect([name, first.status]).not.toEqual([name, 429]);
      expect([name, beyond.status]).toEqual([name, 429]);
    }
  });
});

describe('a service that is killed', () => {
  let database: TestDatabase;
  let server: Program & { url: string };
  const start = async () => {
    server = await startServer(settingsFor(database, { TRUST_PROXY: 'loopback' }));
  };
  beforeAll(async () => {
    database = await createDatabase();
    await start();
  });
  afterAll(async () => {
    server.signal('SIGTERM');
    await server.exit();
    await database.drop();
  });

  const statusFrom = async (address: string): Promise<number> => {
    const headers = { 'content-type': 'application/json', 'x-forwarded-for': address };
    return (await fetch(`${server.url}/api/v1/users`, { method: 'POST', headers, body: '{}' })).status;
  };

  const hour = () => Math.floor(Date.now() / 3_600_000);

  it('has forgotten of its limits what it has counted in the last four seconds at the most', async () => {
    let begun: number;
    let waited: number;
    let after: number;
    do {
      begun = hour();
      const address = `10.7.0.${begun % 250}`;
      for (let count = 0; count < 100; count += 1) await statusFrom(address);
      const since = performance.now();
      const full = `SELECT id FROM limit_counters WHERE points = 100 AND id LIKE 'sign-up:${begun}:%'`;
      while (hour() === begun && (await database.rows(full)).length === 0) await delay(20);
      waited = performance.now() - since;

      server.signal('SIGKILL');
      await server.exit();
      await start();
      after = await statusFrom(address);
    } while (hour() !== begun);

    expect(after).toBe(429);
    // Twice as long, for a machine that tests everything at once.
    expect(waited).toBeLessThan(8_000);
  }, 60_000);
});
