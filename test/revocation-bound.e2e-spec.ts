import { describeWhereInstalled } from './support/installed';
import { bearer, TwoInstances } from './support/instances';
import { RedisServer } from './support/redis-server';
import { PROOF_TIMEOUT_MS, rounds } from './support/rounds';

/** How many revocations are measured; `npm run test:races` asks for more. */
const ROUNDS = rounds(25, 200);

/** Milliseconds that any other instance may take, without Redis and with it. */
const BOUND_MS = 1000;
const BOUND_WITH_REDIS_MS = 100;

/**
 * Milliseconds from the answer of a logout at one instance to the last time that the other let the token in. Both are at
 * work: the other one is asked over and over.
 */
async function lagOf(instances: TwoInstances): Promise<number> {
  const { token } = await instances.newcomer();
  const credential = bearer(token);
  expect(await instances.status(1, credential)).toBe(200);
  expect((await instances.call(0, 'POST', '/auth/logout', credential)).status).toBe(200);
  const revokedAt = performance.now();
  expect(await instances.status(0, credential)).toBe(401);
  let lastAccepted = 0;
  for (;;) {
    const askedAt = performance.now() - revokedAt;
    const status = await instances.status(1, credential);
    if (status === 401) return lastAccepted;
    expect(status).toBe(200);
    lastAccepted = askedAt;
    expect(lastAccepted).toBeLessThan(BOUND_MS);
  }
}

/** How the lags are spread: in a line of numbers, and how many there are in each tenth of what is allowed. */
function histogram(lags: number[], boundMs: number): string {
  const sorted = [...lags].sort((a, b) => a - b);
  const at = (share: number) => Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
  const width = boundMs / 10;
  const counts = Array<number>(Math.floor(at(1) / width) + 1).fill(0);
  for (const lag of lags) counts[Math.floor(lag / width)] = (counts[Math.floor(lag / width)] ?? 0) + 1;
  const bars = counts.map((count, index) => `  from ${index * width} ms: ${count}`);
  const summary = `min ${at(0)}, median ${at(0.5)}, p90 ${at(0.9)}, max ${at(1)}`;
  return `${lags.length} revocations, ms: ${summary}\n${bars.join('\n')}`;
}

/** The longest of many lags. */
async function measure(instances: TwoInstances, what: string, boundMs: number): Promise<number> {
  const lags: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) lags.push(await lagOf(instances));
  process.stdout.write(`${what}: ${histogram(lags, boundMs)}\n`);
  return Math.max(...lags);
}

describe('what one instance revokes, the other refuses', () => {
  it(
    'within a second without Redis',
    async () => {
      const instances = await TwoInstances.start({ RATE_LIMITS: 'off' });
      try {
        expect(await measure(instances, 'without Redis', BOUND_MS)).toBeLessThanOrEqual(BOUND_MS);
      } finally {
        await instances.stop();
      }
    },
    PROOF_TIMEOUT_MS,
  );

  describeWhereInstalled('redis-server', 'where there is Redis', () => {
    let redis: RedisServer;
    let instances: TwoInstances;
    beforeAll(async () => {
      redis = await RedisServer.create();
      instances = await TwoInstances.start({ REDIS_URL: redis.url, RATE_LIMITS: 'off' });
    });
    afterAll(async () => {
      redis.thaw();
      await instances.stop();
      await redis.remove();
    });

    it(
      'within a tenth of a second',
      async () => {
        expect(await measure(instances, 'with Redis', BOUND_WITH_REDIS_MS)).toBeLessThanOrEqual(
          BOUND_WITH_REDIS_MS,
        );
      },
      PROOF_TIMEOUT_MS,
    );

    it('within a second while Redis hangs, and nobody waits for it', async () => {
      redis.freeze();
      try {
        expect(await lagOf(instances)).toBeLessThanOrEqual(BOUND_MS);
      } finally {
        redis.thaw();
      }
    });

    it('within a second while Redis is gone, and within a tenth again once it is back', async () => {
      await redis.kill();
      expect(await lagOf(instances)).toBeLessThanOrEqual(BOUND_MS);

      await redis.start();
      const deadline = performance.now() + 10_000;
      let lag = Infinity;
      while (lag > BOUND_WITH_REDIS_MS && performance.now() < deadline) lag = await lagOf(instances);

      expect(lag).toBeLessThanOrEqual(BOUND_WITH_REDIS_MS);
    });

    it('and a message that was not signed by an instance ends nothing', async () => {
      const { token } = await instances.newcomer();
      const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
        sid: string;
      };
      const lines = JSON.stringify([['session', claims.sid, Date.now() + 3_600_000]]);

      const heardBy = await redis.publish('latchkey:revocations', 'A'.repeat(43) + lines);

      expect(heardBy).toBe(2);
      for (const instance of [0, 1] as const)
        expect(await instances.status(instance, bearer(token))).toBe(200);
    });

    it('and Redis need not be there at the start', async () => {
      await redis.kill();

      const late = await TwoInstances.start({ REDIS_URL: redis.url, RATE_LIMITS: 'off' });

      try {
        expect(await lagOf(late)).toBeLessThanOrEqual(BOUND_MS);
      } finally {
        await late.stop();
        await redis.start();
      }
    });
  });
});
