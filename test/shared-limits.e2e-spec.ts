import { Redis } from 'ioredis';
import { addressBlock } from '../src/rate-limit/address-block';
import { RateLimits } from '../src/rate-limit/rate-limits';
import { MOST_COUNTERS } from '../src/rate-limit/window-counters';
import { startApp, type TestApp } from './support/app';
import { describeWhereInstalled } from './support/installed';
import { TwoInstances } from './support/instances';
import { newcomer } from './support/people';
import { RedisServer } from './support/redis-server';

/** Everybody is whoever he says he is. */
const SETTINGS = { TRUST_PROXY: 'loopback' };

let lastAddress = 0;
const newAddress = () => {
  lastAddress += 1;
  return { 'x-forwarded-for': `10.8.${lastAddress >> 8}.${lastAddress & 255}` };
};

const guess = (instances: TwoInstances, at: 0 | 1, username: string) =>
  instances.call(at, 'POST', '/auth/login', newAddress(), { username, password: 'a guess' });

/** How many of these sign-ups, which are not complete, are looked at and not refused. */
const signUps = async (
  instances: TwoInstances,
  at: 0 | 1,
  count: number,
  address: Record<string, string>,
): Promise<number> => {
  const answers = await Promise.all(
    Array.from({ length: count }, () => instances.call(at, 'POST', '/users', address, {})),
  );
  return answers.filter(({ status }) => status === 400).length;
};

/** Does again what must not lie on both sides of the full hour, when the windows of sign-ups change. */
async function withinOneHour<T>(work: () => Promise<T>): Promise<T> {
  const hour = () => Math.floor(Date.now() / 3_600_000);
  for (;;) {
    const begun = hour();
    const result = await work();
    if (hour() === begun) return result;
  }
}

describe('two instances on one database', () => {
  let instances: TwoInstances;
  beforeAll(async () => (instances = await TwoInstances.start(SETTINGS)));
  afterAll(() => instances.stop());

  it('evaluate ten of a thousand guesses at one account that come to both at once', async () => {
    const { username, password } = await instances.newcomer();
    const begun = performance.now();

    const answers = await Promise.all(
      Array.from({ length: 1000 }, (_, index) => guess(instances, (index % 2) as 0 | 1, username)),
    );

    // While they came, pauses of 1, 2, 4, … seconds may have passed, and one more been let in after each.
    const pauses = Math.floor(Math.log2((performance.now() - begun) / 1000 + 1)) + 1;
    const answered = (wanted: number) => answers.filter(({ status }) => status === wanted).length;
    // On a slow machine some run out of time.
    const [evaluated, late] = [answered(401), answered(503)];
    expect(evaluated + late).toBeGreaterThanOrEqual(10);
    expect(evaluated).toBeLessThanOrEqual(10 + pauses);
    expect(answered(429)).toBe(1000 - evaluated - late);
    for (const at of [0, 1] as const) {
      const answer = await instances.call(at, 'POST', '/auth/login', newAddress(), { username, password });
      expect([200, 429]).toContain(answer.status);
    }
  }, 120_000);

  it('both know a device that has signed in at one of them', async () => {
    const { username, password } = await instances.newcomer();
    const { body } = await instances.call(0, 'POST', '/auth/login', newAddress(), { username, password });
    for (let count = 0; count < 11; count += 1) await guess(instances, 0, username);
    const own = { username, password, deviceToken: body['deviceToken'] };

    for (const at of [0, 1] as const) {
      expect((await instances.call(at, 'POST', '/auth/login', newAddress(), own)).status).toBe(200);
    }
  });

  it('count sign-ups each for itself without Redis', async () => {
    const accepted = await withinOneHour(async () => {
      const address = newAddress();
      return [await signUps(instances, 0, 120, address), await signUps(instances, 1, 120, address)];
    });

    expect(accepted).toEqual([100, 100]);
  });
});

describeWhereInstalled('redis-server', 'two instances with one Redis', () => {
  let redis: RedisServer;
  let instances: TwoInstances;
  beforeAll(async () => {
    redis = await RedisServer.create();
    instances = await TwoInstances.start({ ...SETTINGS, REDIS_URL: redis.url });
  });
  afterAll(async () => {
    redis.thaw();
    await instances.stop();
    await redis.remove();
  });

  it('count sign-ups together', async () => {
    const accepted = await withinOneHour(async () => {
      const address = newAddress();
      return [await signUps(instances, 0, 60, address), await signUps(instances, 1, 60, address)];
    });

    expect(accepted).toEqual([60, 40]);
  });

  it('leave numbers under digests in it and nothing else, no address, no name, and nothing that stays', async () => {
    const { username } = await instances.newcomer();
    await guess(instances, 0, username);
    const client = new Redis(redis.url);

    const keys = await client.keys('*');
    const spans = await Promise.all(keys.map((key) => client.pttl(key)));
    const values = await client.mget(keys);
    const left = await client.exists(keys);
    client.disconnect();

    expect(keys.length).toBeGreaterThan(0);
    for (const key of keys) expect(key).toMatch(/^latchkey:limit:[a-z-]+:\d+:[0-9a-f]{64}$/);
    // What is no text, such as a list, would be null, as is what has ended meanwhile.
    for (const value of values.filter((one) => one !== null)) expect(value).toMatch(/^\d+$/);
    expect(values.filter((value) => value !== null).length).toBeGreaterThanOrEqual(left);
    // What has no end would be -1.
    expect(spans).not.toContain(-1);
    expect(Math.max(...spans)).toBeLessThanOrEqual(3_600_000);
  });

  it('count each for itself while Redis hangs, and answer in time: few calls wait for it', async () => {
    redis.freeze();
    try {
      const begun = performance.now();
      const accepted = await withinOneHour(async () => {
        const address = newAddress();
        let count = 0;
        for (let round = 0; round < 120; round += 1) count += await signUps(instances, 0, 1, address);
        return count;
      });

      expect(accepted).toBe(100);
      // Half a second each would be a minute.
      expect(performance.now() - begun).toBeLessThan(20_000);
    } finally {
      redis.thaw();
    }
  }, 60_000);

  it('count each for itself while Redis is gone, and go on letting people in', async () => {
    await redis.kill();
    const accepted = await withinOneHour(() => signUps(instances, 1, 120, newAddress()));

    expect(accepted).toBe(100);
    const { username, password } = { username: 'without.redis', password: 'a good password' };
    const account = { username, email: 'without.redis@example.com', password };
    expect((await instances.call(0, 'POST', '/users', newAddress(), account)).status).toBe(201);
    expect(
      (await instances.call(1, 'POST', '/auth/login', newAddress(), { username, password })).status,
    ).toBe(200);
  });
});

describeWhereInstalled('redis-server', 'a Redis that is full', () => {
  const MOST_BYTES = 3_000_000;
  let redis: RedisServer;
  let app: TestApp;
  beforeAll(async () => {
    redis = await RedisServer.create(['--maxmemory', String(MOST_BYTES), '--maxmemory-policy', 'noeviction']);
    app = await startApp({ ...SETTINGS, REDIS_URL: redis.url });
  });
  afterAll(async () => {
    await app.close();
    await redis.remove();
  });

  it('leaves limits in force, which each instance counts for itself in bounded memory, and lets people in', async () => {
    const { username, password, deviceToken } = await newcomer(app);
    const login = (more: object) =>
      app.call('POST', '/auth/login', { body: { username, password, ...more }, headers: newAddress() });
    for (let count = 0; count < 10; count += 1) await login({ password: 'a guess' });
    const limits = app.nest.get(RateLimits);
    const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };
    const comeBy = (network: number) =>
      limits.take('login-address', addressBlock(`2001:db8:${network.toString(16)}::1`), {
        userId: null,
        origin,
      });

    for (let network = 0; network < 40_000; network += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, index) => comeBy(network + index)));
    }

    const client = new Redis(redis.url);
    const [, used] = /^used_memory:(\d+)/m.exec(await client.info('memory')) ?? [];
    // What expires in it must not make room for one of the calls to come, which would be counted there and not here.
    await client.config('SET', 'maxmemory', 1);
    client.disconnect();
    expect(Number(used)).toBeLessThan(MOST_BYTES * 1.2);
    const told = app.logged.filter(({ msg }) => /^Redis does not answer as it should/.test(String(msg)));
    expect(told).not.toHaveLength(0);
    // On a slow machine there may be an answer that comes too late, and is told of by itself.
    const refused = told.filter(({ err }) => (err as Error).message.startsWith('OOM'));
    expect(refused.length).toBeLessThanOrEqual(1);
    expect(limits.held).toBeGreaterThanOrEqual(MOST_COUNTERS);
    expect(limits.held).toBeLessThanOrEqual(MOST_COUNTERS + 100);
    const address = newAddress();
    const statuses: number[] = [];
    for (let count = 0; count < 101; count += 1) {
      statuses.push((await app.call('POST', '/users', { body: {}, headers: address })).status);
    }
    expect(statuses).toEqual([...Array<number>(100).fill(400), 429]);
    expect([(await login({})).status, (await login({ deviceToken })).status]).toEqual([429, 200]);
  }, 120_000);
});
