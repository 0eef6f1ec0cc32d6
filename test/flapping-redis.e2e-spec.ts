import { setTimeout as delay } from 'node:timers/promises';
import { Redis, ReplyError } from 'ioredis';
import { LIMITS, type WindowLimitName } from '../src/rate-limit/limits';
import type { PeriodicTask } from '../src/core/periodic-task';
import { RateLimits, type Taken } from '../src/rate-limit/rate-limits';
import { RedisLink, SETTLED_MS } from '../src/redis/redis-link';
import { startApp, type TestApp } from './support/app';
import { describeWhereInstalled } from './support/installed';
import { logIn, newcomer, statusWith } from './support/people';
import { RedisServer } from './support/redis-server';
import { TcpProxy } from './support/tcp-proxy';
import { faultRounds } from './support/thoroughness';

const ROUNDS = faultRounds(3, 20);

/** How many sign-ups one address has in an hour. */
const { points: QUOTA } = LIMITS['sign-up'];

/** As Redis refuses; the library does not declare how it is made. */
const Refusal = ReplyError as new (message: string) => Error;

const LOST =
  'Redis does not answer as it should: instances learn of revocations by the poll, and count limits each for itself';

/** Seconds for which Redis is left alone after it has failed. */
const AVOIDED_SECONDS = 5;

describeWhereInstalled('redis-server', 'a Redis that dies and comes back, again and again', () => {
  let redis: RedisServer;
  let app: TestApp;
  beforeAll(async () => {
    redis = await RedisServer.create();
    app = await startApp({ REDIS_URL: redis.url, TRUST_PROXY: 'loopback' });
    // What is told of here is what was asked for. A probe that falls into a hang would be told of later.
    app.nest.get<{ probing: PeriodicTask }>(RedisLink).probing.retire();
  });
  afterAll(async () => {
    await app.close();
    await redis.remove();
  });

  /** How many sign-ups of one address, which are not complete, are looked at and not refused. */
  const signUps = async (attempts: number, address = '10.9.8.7'): Promise<number> => {
    let accepted = 0;
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const { status } = await app.call('POST', '/users', {
        body: {},
        headers: { 'x-forwarded-for': address },
      });
      expect([400, 429]).toContain(status);
      if (status === 400) accepted += 1;
    }
    return accepted;
  };

  /** What was logged of Redis since the last time. */
  const told = () => {
    const sentences = app.logged.map(({ msg }) => String(msg)).filter((msg) => msg.startsWith('Redis '));
    app.logged.length = 0;
    return sentences;
  };
  it('is told of when it hangs and goes on, or is full and has room again, on the same connection, and when it is lost then', async () => {
    const attempt = async () => {
      app.clock.push(AVOIDED_SECONDS);
      await signUps(1, '10.9.8.6');
    };
    const link = app.nest.get(RedisLink);
    const client = link.client as Redis;
    const connections: string[] = [];
    client.on('ready', () => connections.push('another'));
    await attempt();
    told();

    redis.freeze();
    await attempt();
    const hanging = told();
    redis.thaw();
    await client.ping();
    await attempt();
    const goingOn = told();
    await client.config('SET', 'maxmemory', '1');
    await attempt();
    // It passes messages on all the same, which is no end of it.
    link.publish('anything', 'heard by nobody');
    await client.ping();
    await attempt();
    const full = told();
    await client.config('SET', 'maxmemory', '0');
    await attempt();
    // It had room for this one, and may be full again for the next.
    const roomForOne = told();
    await attempt();
    const emptied = told();
    expect(connections).toEqual([]);
    await redis.kill();
    await attempt();
    const lost = told();
    const back = new Promise((resolve) => client.once('ready', resolve));
    await redis.start();
    await back;
    await app.logs('Redis is back');
    app.clock.push(AVOIDED_SECONDS);

    expect([hanging, goingOn]).toEqual([[LOST], ['Redis is back']]);
    expect([full, roomForOne, emptied]).toEqual([[LOST], [], ['Redis is back']]);
    expect(lost).toEqual([LOST]);
  }, 30_000);

  it('is told of anew when it is lost after a refusal that is long over, though nobody has asked for the same since', () => {
    const link = app.nest.get(RedisLink);
    told();
    link.reportLoss('publishing', new Refusal('BUSY Redis is busy running a script.'));
    link.reportSuccess('publishing');
    const atOnce = told();

    app.clock.push(SETTLED_MS / 1000);
    link.reportLoss('counting', new Refusal('OOM command not allowed'));
    const later = told();
    link.reportSuccess('counting');
    app.clock.push(SETTLED_MS / 1000);
    link.reportSuccess('counting');

    expect([atOnce, later, told()]).toEqual([[LOST], ['Redis is back', LOST], ['Redis is back']]);
  });

  it('is waited for once while it hangs, whichever limits are asked in turn', async () => {
    const client = app.nest.get(RedisLink).client as Redis;
    const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };
    const take = (name: WindowLimitName) =>
      app.nest.get(RateLimits).take(name, 'anybody', { userId: null, origin });
    app.clock.push(AVOIDED_SECONDS);
    redis.freeze();
    const commands = jest.spyOn(client, 'sendCommand');
    for (const name of ['login-address', 'login-network', 'sign-in'] as const) await take(name);
    const asked = commands.mock.calls.length;
    commands.mockRestore();
    redis.thaw();
    await client.ping();

    expect(asked).toBe(1);
    app.clock.push(AVOIDED_SECONDS);
    told();
  });

  it('goes on counting while it passes no messages on', () => {
    const link = app.nest.get(RedisLink);
    link.reportLoss('publishing', new Refusal('NOPERM No permissions to access a channel'));
    const refused = link.isAvoided;
    link.reportLoss('publishing', new Error('Command timed out'));
    const hanging = link.isAvoided;
    app.clock.push(SETTLED_MS / 1000);
    link.reportSuccess('publishing');
    link.reportSuccess('counting');
    told();

    expect([refused, hanging]).toEqual([false, true]);
  });

  /** A key's report: none of the other tests takes from its limit. */
  const takeOne = (subject: string) => {
    const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };
    return app.nest.get(RateLimits).take('key-report', subject, { userId: null, origin });
  };
  const takeSeveral = async (subject: string, count: number) => {
    const taken: Taken[] = [];
    while (taken.length < count) taken.push(await takeOne(subject));
    return taken;
  };
  /** How many more the limit grants. */
  const left = async (subject: string) => {
    for (let count = 0; ; count += 1) {
      try {
        await takeOne(subject);
      } catch (error) {
        expect(error).toMatchObject({ code: 'rate_limited' });
        return count;
      }
    }
  };
  /** It knows nothing of what it has counted. Of the connections, the one that counts: another may be back before it. */
  const comeBack = async () => {
    // Attempts that fail until then are no failure, as they would be to `once` of node:events.
    const client = app.nest.get(RedisLink).client as Redis;
    const back = new Promise((resolve) => client.once('ready', resolve));
    await redis.start();
    await back;
    app.clock.push(AVOIDED_SECONDS);
  };

  it.each([
    ['the instance', 'Redis, which is back', 0],
    ['the instance', 'Redis, which is back', 5],
    ['Redis', 'the instance', 5],
    ['Redis', 'Redis, which is back', 0],
    ['Redis', 'Redis, which is back', 5],
    ['Redis', 'Redis, which has forgotten it', 0],
  ])(
    'grants no more than the limit where what was counted by %s is given back while it is counted by %s, and %i of others are',
    async (before, after, others) => {
      const subject = `${before}, ${after}, ${others}`;
      if (before === 'the instance') await redis.kill();
      const taken = await takeSeveral(subject, 3);
      if (after === 'Redis, which has forgotten it') {
        await (app.nest.get(RedisLink).client as Redis).flushall();
      } else {
        if (before === 'Redis') await redis.kill();
        if (after !== 'the instance') await comeBack();
      }

      await takeSeveral(subject, others);
      for (const one of taken) await one.giveBack();
      const granted = others + (await left(subject));

      if (after === 'the instance') await comeBack();
      expect(granted).toBe(LIMITS['key-report'].points);
    },
    20_000,
  );

  it(
    'opens no limit and keeps nobody out',
    async () => {
      const person = await newcomer(app);
      // What Redis counts first is used up, and what the instance counts is still untouched.
      const accepted = [await signUps(QUOTA + 5)];

      for (let round = 0; round < ROUNDS; round += 1) {
        await redis.kill();
        accepted.push(await signUps(QUOTA + 5));
        expect(await statusWith(app, await logIn(app, person))).toBe(200);

        await comeBack();
        accepted.push(await signUps(QUOTA + 5));
        expect(await statusWith(app, await logIn(app, person))).toBe(200);
      }

      // A Redis that comes back has forgotten everything: it counts anew. The instance forgets nothing.
      const [first, ...later] = accepted;
      const gone = later.filter((_, index) => index % 2 === 0);
      const back = later.filter((_, index) => index % 2 === 1);
      expect(first).toBe(QUOTA);
      expect(gone).toEqual([QUOTA, ...Array<number>(ROUNDS - 1).fill(0)]);
      expect(back).toEqual(Array<number>(ROUNDS).fill(QUOTA));
    },
    30_000 + ROUNDS * 10_000,
  );
});

describeWhereInstalled('redis-server', 'a Redis that has handed over to another one', () => {
  let first: RedisServer;
  let second: RedisServer;
  let way: TcpProxy;
  let app: TestApp;
  let direct: Redis;
  beforeAll(async () => {
    [first, second] = [await RedisServer.create(), await RedisServer.create()];
    way = await TcpProxy.to(first.port);
    app = await startApp({ REDIS_URL: way.leadingTo(first.url) });
    direct = new Redis(first.url);
  });
  afterAll(async () => {
    direct.disconnect();
    await app.close();
    await way.close();
    for (const server of [first, second]) await server.remove();
  });

  it('is left for that one, though it keeps its connections and can be read', async () => {
    const client = app.nest.get(RedisLink).client as Redis;
    const signUp = () => app.call('POST', '/users', { body: {} });
    await signUp();
    const before = await direct.dbsize();
    const again = new Promise((resolve) => client.once('ready', resolve));
    way.leadTo(second.port);
    await direct.replicaof('127.0.0.1', second.port);

    const { status } = await signUp();
    await again;
    app.clock.push(AVOIDED_SECONDS);
    await signUp();

    expect(status).toBe(400);
    expect(before).toBeGreaterThan(0);
    expect(await client.info('replication')).toContain('role:master');
    expect(await client.dbsize()).toBeGreaterThan(0);
  }, 10_000);
});

describeWhereInstalled('redis-server', 'a Redis whose connections stand', () => {
  let redis: RedisServer;
  let way: TcpProxy;
  let app: TestApp;
  let direct: Redis;
  beforeEach(async () => {
    redis = await RedisServer.create();
    way = await TcpProxy.to(redis.port);
    app = await startApp({ REDIS_URL: way.leadingTo(redis.url) });
    direct = new Redis(redis.url);
  });
  afterEach(async () => {
    direct.disconnect();
    way.endMuted();
    await app.close();
    await way.close();
    await redis.remove();
  });

  /** The first message that the app hears on the channel. */
  const heardOn = (channel: string) =>
    new Promise((resolve) => app.nest.get(RedisLink).subscribe(channel, resolve));

  it('though its host is lost without a word, is connected to anew within seconds, without anybody asking for it', async () => {
    const heard = heardOn('a channel of the test');
    // Before each word of a command stand a `$` and its length, so this mutes both connections.
    way.muteAt('$');
    await app.logs(LOST);
    while (way.silent < 2) await delay(20);
    way.muteAt(undefined);
    const begun = performance.now();

    await app.logs('Redis is back');
    const milliseconds = performance.now() - begun;
    app.clock.push(AVOIDED_SECONDS);
    await app.call('POST', '/users', { body: {} });
    while ((await direct.publish('a channel of the test', 'a message')) === 0) await delay(20);

    expect(await direct.dbsize()).toBeGreaterThan(0);
    expect(await heard).toBe('a message');
    expect(milliseconds).toBeLessThan(15_000);
  }, 30_000);

  it('and that lets nobody listen is told of once, however often it ends its connections', async () => {
    await direct.acl('SETUSER', 'default', 'resetchannels');
    app.logged.length = 0;
    await app.restart();
    await app.logs(LOST);

    for (let round = 0; round < 3; round += 1) {
      const again = new Promise((resolve) => app.nest.get(RedisLink).client?.once('ready', resolve));
      await direct.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await again;
    }

    const told = app.logged.map(({ msg }) => String(msg)).filter((msg) => msg.startsWith('Redis '));
    expect(told).toEqual([LOST]);
  }, 30_000);

  it('and that let nobody listen is listened to as soon as it allows it, and that is told', async () => {
    await direct.acl('SETUSER', 'default', 'resetchannels');
    app.logged.length = 0;
    await app.restart();
    const heard = heardOn('a channel of the test');
    await app.logs(LOST);

    await direct.acl('SETUSER', 'default', 'allchannels');
    while ((await direct.publish('a channel of the test', 'a message')) === 0) await delay(20);
    app.clock.push(SETTLED_MS / 1000);
    await app.logs('Redis is back');

    expect(await heard).toBe('a message');
  }, 30_000);
});
