import { REQUEST_BUDGET_MS } from '../src/core/request-budget';
import { Transactions } from '../src/database/transactions';
import { RevocationFeed } from '../src/revocation/revocation-feed';
import { startApp, type TestApp } from './support/app';
import { CONNECTIONS, holdConnections } from './support/connections';
import { onMysql } from './support/database';
import { gate } from './support/gate';
import { listKeys, type LoginBody, newcomer, type Person, statusWith } from './support/people';
import { Scrape } from './support/scrape';
import { TestFailpoints } from './support/test-failpoints';
import { faultRounds, longFaults } from './support/thoroughness';

const ROUNDS = faultRounds(3, 50);

/** How many callers may wait for a connection. */
const PLACES = 500;

/** Of those who wait, how many come by HTTP; more would keep a busy machine longer than any of them may wait. */
const REQUESTS_WITH_A_PLACE = 50;

/** Requests beyond that, and places that the service itself may take: the feed's poll, the sealer, the cleanup. */
const TOO_MANY = 100;
const OWN = 5;

/** Milliseconds after which nobody may wait any more; a busy machine adds to that, but for the long run. */
const LONGEST_WAIT_MS = longFaults ? 3_500 : 4_500;

/** Calls at the same time that change one account: as many of each kind as its keys, its sessions and the hashing queue have room for. */
const CHANGES = 60;

interface Reply {
  status: number;
  retryAfter: string | null;
  milliseconds: number;
  /** Whether every connection was still in use when it was answered. */
  whileHeld: boolean;
}

const useOf = async (app: TestApp): Promise<{ used: number; waiting: number }> => {
  const now = await Scrape.from(app.url);
  return {
    used: now.value('latchkey_database_connections_used'),
    waiting: now.value('latchkey_database_waiting'),
  };
};

describe('a pool of which every connection is in use', () => {
  let app: TestApp;
  let person: Person & LoginBody;
  beforeAll(async () => {
    app = await startApp({ RATE_LIMITS: 'off', METRICS: 'on' });
    person = await newcomer(app);
  });
  afterAll(() => app.close());

  /** Holds every connection, and all but a few places in the queue. The function returned lets go. */
  const crowd = async (): Promise<() => Promise<unknown>> => {
    const letGo = await holdConnections(app);
    const waiting = Array.from({ length: PLACES - REQUESTS_WITH_A_PLACE }, () => app.rows('SELECT 1'));
    return () => Promise.all([letGo(), ...waiting]);
  };

  /** Sends requests that need the database, and lets go of the connections when too many of them have been refused. */
  const askInTheCrowd = async (): Promise<Reply[]> => {
    const release = await crowd();
    const enough = gate();
    let [held, refused] = [true, 0];
    const ask = async (): Promise<Reply> => {
      const begun = performance.now();
      const { status, headers } = await app.fetch('/api/v1/users/me', {
        headers: { authorization: `Bearer ${person.token}` },
      });
      const milliseconds = performance.now() - begun;
      if (status === 503 && (refused += 1) === TOO_MANY) enough.open();
      return { status, retryAfter: headers.get('retry-after'), milliseconds, whileHeld: held };
    };
    const asked = Array.from({ length: REQUESTS_WITH_A_PLACE + TOO_MANY }, ask);
    await enough.opened;
    held = false;
    await release();
    return Promise.all(asked);
  };

  it(
    'has as many wait as there are places, refuses the rest without waiting, and leaks none',
    async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const replies = await askInTheCrowd();

        const refused = replies.filter(({ status }) => status === 503);
        expect(refused.filter(({ retryAfter }) => retryAfter === null)).toEqual([]);
        // On a slow machine some run out of time in their place; the others that are refused have none. They are as many as there
        // are too many, and all but those whose place the service itself has left were answered while everybody else still waited.
        const withoutPlace = refused.filter(({ milliseconds }) => milliseconds < REQUEST_BUDGET_MS);
        expect(withoutPlace.filter(({ whileHeld }) => whileHeld).length).toBeGreaterThanOrEqual(TOO_MANY);
        expect(withoutPlace.length).toBeLessThanOrEqual(TOO_MANY + OWN);
        expect(replies.filter(({ status, whileHeld }) => status === 200 && whileHeld)).toEqual([]);
        expect(replies.filter(({ status }) => ![200, 503].includes(status))).toEqual([]);
        const served = replies.filter(({ status }) => status === 200);
        const outOfTime = refused.filter(({ milliseconds }) => milliseconds >= REQUEST_BUDGET_MS);
        expect(served.length + outOfTime.length).toBeGreaterThanOrEqual(REQUESTS_WITH_A_PLACE - OWN);

        let after = await useOf(app);
        while (after.used + after.waiting > 0) after = await useOf(app);
        expect((await app.fetch('/health/ready')).status).toBe(200);
        expect(await statusWith(app, person)).toBe(200);
      }
      if (!onMysql) return;
      const [row] = await app.rows<{ connections: number }>(
        'SELECT COUNT(*) AS connections FROM information_schema.processlist WHERE db = DATABASE()',
      );
      expect(Number(row?.connections)).toBeLessThanOrEqual(CONNECTIONS);
    },
    30_000 + ROUNDS * 10_000,
  );

  it('has nobody wait for longer than three seconds', async () => {
    const letGo = await holdConnections(app);

    const replies = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const begun = performance.now();
        const status = await statusWith(app, person);
        return { status, milliseconds: performance.now() - begun };
      }),
    );
    await letGo();

    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([503]));
    expect(Math.max(...replies.map(({ milliseconds }) => milliseconds))).toBeLessThan(LONGEST_WAIT_MS);
  });

  it('reads what has been revoked before everybody who waits, however many they are', async () => {
    const feed = app.nest.get(RevocationFeed);
    let served = 0;
    const letGo = await holdConnections(app);
    // The service itself may have taken some of the places.
    const waiting = Array.from({ length: PLACES }, () => app.rows('SELECT 1').then(() => (served += 1)));
    await expect(app.rows('SELECT 1')).rejects.toMatchObject({ code: 'service_unavailable' });
    const begun = app.clock.monotonic();
    const poll = feed.poll();
    const released = letGo();
    await poll;

    expect(served).toBeLessThan(PLACES / 2);
    expect(feed.age).toBeLessThan(app.clock.monotonic() - begun);
    await released;
    await Promise.allSettled(waiting);
  });
});

/** Lists of one account asked for at the same time: more than may wait for a connection. */
const LISTS = 600;

/** Where there are several connections to be taken. */
const describeWithSeveral = onMysql ? describe : () => undefined;

describeWithSeveral('a pool from which many changes of one account want connections', () => {
  const failpoints = new TestFailpoints();
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ RATE_LIMITS: 'off', METRICS: 'on' }, { failpoints })));
  afterAll(() => app.close());

  /** One of each kind that always waits for the account. */
  const changes = ({ token, username, password }: Person & LoginBody): (() => Promise<number>)[] => {
    const call = (method: string, path: string, more: object) => async () =>
      (await app.call(method, path, more)).status;
    return [
      call('POST', '/auth/keys', { token, body: {} }),
      call('PATCH', '/users/me', { token, body: { email: `${username}@example.org` } }),
      call('POST', '/auth/login', { body: { username, password } }),
    ];
  };

  /** Resolves when so many units of work have come that name the account. */
  const arrivals = (account: string, count: number): Promise<void> => {
    const complete = gate();
    const door = app.nest.get(Transactions);
    const runFor = door.runFor.bind(door);
    let arrived = 0;
    door.runFor = (named, work) => {
      if (named === account && (arrived += 1) === count) complete.open();
      return runFor(named, work);
    };
    return complete.opened;
  };

  it('gives them one, while they wait for each other, and others are served', async () => {
    const [jane, john] = [await newcomer(app), await newcomer(app)];
    const holder = failpoints.hold('key_creation:key_written');
    const first = app.call('POST', '/auth/keys', { token: jane.token, body: {} });
    await holder.reached;
    const allThere = arrivals(jane.id, CHANGES);
    const kinds = changes(jane);
    let answered = 0;
    const calls = Array.from({ length: CHANGES }, async (_, index) => {
      const status = await (kinds[index % kinds.length] as () => Promise<number>)();
      answered += 1;
      return status;
    });
    await allThere;

    const { used } = await useOf(app);
    const others = await Promise.all(changes(john).map((change) => change()));
    const before = answered;
    holder.release();

    expect(used).toBeLessThanOrEqual(1 + OWN);
    expect([others, before]).toEqual([[201, 200, 200], 0]);
    // On a slow machine some run out of time; what they were to do has not been done then.
    const outcomes = await Promise.all(calls);
    expect(outcomes.filter((status) => ![200, 201, 503].includes(status))).toEqual([]);
    const made = [(await first).status, ...outcomes].filter((status) => status === 201);
    expect(await listKeys(app, jane.token)).toHaveLength(made.length);
    let after = await useOf(app);
    while (after.used + after.waiting > 0) after = await useOf(app);
  });
});

describeWithSeveral('a pool from which one account wants to have its lists again and again', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ RATE_LIMITS: 'off', METRICS: 'on' })));
  afterAll(() => app.close());

  /** Has the lists of an account take as long as until they are let go. */
  const holdListsOf = (held: string) => {
    const door = app.nest.get(Transactions);
    const readFor = door.readFor.bind(door);
    const [first, leave] = [gate(), gate()];
    door.readFor = (account, work) =>
      readFor(account, async (tx) => {
        first.open();
        if (account === held) await leave.opened;
        return work(tx);
      });
    return { reached: first.opened, letGo: () => leave.open() };
  };

  it.each(['/auth/keys', '/auth/sessions', '/auth/events'])(
    'serves others while it waits for %s',
    async (path) => {
      const [jane, john] = [await newcomer(app), await newcomer(app)];
      const lists = holdListsOf(jane.id);
      const asked = Array.from({ length: LISTS }, () => app.call('GET', path, { token: jane.token }));
      await lists.reached;

      // Where a poll is late, each call asks about its token first, which is over soon. The lists are given up only after three seconds.
      const deadline = performance.now() + REQUEST_BUDGET_MS / 2;
      let { used } = await useOf(app);
      while (used > 1 + OWN && performance.now() < deadline) ({ used } = await useOf(app));
      expect(used).toBeLessThanOrEqual(1 + OWN);
      const { username, password, token } = jane;
      expect((await app.call('POST', '/auth/login', { body: { username, password } })).status).toBe(200);
      expect((await app.call('POST', '/auth/logout', { token })).status).toBe(200);
      expect(await statusWith(app, john)).toBe(200);
      expect((await app.call('GET', path, { token: john.token })).status).toBe(200);
      lists.letGo();
      const statuses = (await Promise.all(asked)).map(({ status }) => status);
      expect(statuses.filter((status) => ![200, 401, 503].includes(status))).toEqual([]);
    },
  );
});
