import type { Redis } from 'ioredis';
import { LIMITS } from '../src/rate-limit/limits';
import { RedisLink } from '../src/redis/redis-link';
import { startApp, type TestApp } from './support/app';
import { describeWhereInstalled } from './support/installed';
import { logIn, newcomer, statusWith } from './support/people';
import { RedisServer } from './support/redis-server';
import { faultRounds } from './support/thoroughness';

const ROUNDS = faultRounds(3, 20);

/** How many sign-ups one address has in an hour. */
const { points: QUOTA } = LIMITS['sign-up'];

/** Seconds for which Redis is left alone after it has failed. */
const AVOIDED_SECONDS = 5;

describeWhereInstalled('redis-server', 'a Redis that dies and comes back, again and again', () => {
  let redis: RedisServer;
  let app: TestApp;
  beforeAll(async () => {
    redis = await RedisServer.create();
    app = await startApp({ REDIS_URL: redis.url, TRUST_PROXY: 'loopback' });
  });
  afterAll(async () => {
    await app.close();
    await redis.remove();
  });

  /** How many sign-ups of one address, which are not complete, are looked at and not refused. */
  const signUps = async (attempts: number): Promise<number> => {
    let accepted = 0;
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const { status } = await app.call('POST', '/users', {
        body: {},
        headers: { 'x-forwarded-for': '10.9.8.7' },
      });
      expect([400, 429]).toContain(status);
      if (status === 400) accepted += 1;
    }
    return accepted;
  };

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

        // Of the connections, the one that counts: another may be back before it.
        // Attempts that fail until then are no failure, as they would be to `once` of node:events.
        const client = app.nest.get(RedisLink).client as Redis;
        const back = new Promise((resolve) => client.once('ready', resolve));
        await redis.start();
        await back;
        app.clock.push(AVOIDED_SECONDS);
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
