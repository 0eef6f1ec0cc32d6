import { setTimeout as delay } from 'node:timers/promises';
import { COMMAND_TIMEOUT_MS } from '../src/redis/redis-link';
import { POLL_INTERVAL_MS } from '../src/revocation/revocation-feed';
import { describeWhereInstalled } from './support/installed';
import { bearer, TwoInstances } from './support/instances';
import { RedisServer } from './support/redis-server';
import { PROOF_TIMEOUT_MS, rounds } from './support/rounds';
import { runCommand } from './support/server-process';

/** How many revocations are measured; `npm run test:races` asks for more. */
const ROUNDS = rounds(25, 200);

/** The same of what is not a logout, and takes longer to prepare. */
const ROUNDS_OF_OTHERS = rounds(3, 50);

/** How many victims are prepared at a time. */
const PREPARED = 5;

/** Milliseconds that any other instance may take, without Redis and with it. */
const BOUND_MS = 1000;
const BOUND_WITH_REDIS_MS = 100;

/** Somebody's credential, and what takes it away from them. */
interface Victim {
  credential: Record<string, string>;
  revoke: () => Promise<unknown>;
  /** Where no instance was asked to, each of the two is only told. Then `revoke` ends when it has been committed. */
  byOperator?: true;
}

/** How a victim comes about, whose credential both instances know. */
type Deed = (instances: TwoInstances) => Promise<Victim>;

/** Calls the first instance, which must do as it is told. */
async function demand(
  instances: TwoInstances,
  ...[method, path, headers, body]: [string, string, Record<string, string>, object?]
): Promise<Record<string, string>> {
  const answer = await instances.call(0, method, path, headers, body);
  expect([method, path, Math.floor(answer.status / 100)]).toEqual([method, path, 2]);
  return answer.body;
}

/** What a credential opens at one of the two, where no row is read that could be gone: only what is remembered decides. */
const statusAt = async (instances: TwoInstances, instance: 0 | 1, credential: Victim['credential']) =>
  (await instances.call(instance, 'GET', '/auth/verify', credential)).status;

/**
 * Somebody with a key that both instances remember. Its creation is a change of it too, and makes them ask the database
 * once more when they read of it: it is used until they have.
 */
async function keyHolder(instances: TwoInstances) {
  const person = await instances.newcomer();
  const { keyId, apiKey = '' } = await demand(instances, 'POST', '/auth/keys', bearer(person.token), {});
  const madeAt = performance.now();
  const credential = { 'x-api-key': apiKey };
  do {
    for (const instance of [0, 1] as const) expect(await statusAt(instances, instance, credential)).toBe(200);
  } while (performance.now() - madeAt < 2 * POLL_INTERVAL_MS + 100);
  return { ...person, keyId, apiKey, credential };
}

const logout: Deed = async (instances) => {
  const credential = bearer((await instances.newcomer()).token);
  return { credential, revoke: () => demand(instances, 'POST', '/auth/logout', credential) };
};

const OTHER_DEEDS: Record<string, Deed> = {
  'a key is deleted': async (instances) => {
    const { credential, keyId, token } = await keyHolder(instances);
    return { credential, revoke: () => demand(instances, 'DELETE', `/auth/keys/${keyId}`, bearer(token)) };
  },

  'a key is reported as found': async (instances) => {
    const { credential, apiKey } = await keyHolder(instances);
    return { credential, revoke: () => demand(instances, 'POST', '/auth/keys/report', {}, { apiKey }) };
  },

  'the password is changed in another session': async (instances) => {
    const { username, password, token } = await instances.newcomer();
    const other = await instances.logIn(1, username, password);
    const passwords = { currentPassword: password, newPassword: 'swift otter paints' };
    return {
      credential: bearer(token),
      revoke: () => demand(instances, 'POST', '/users/me/password', bearer(other.token), passwords),
    };
  },

  'the account of a session is deleted': async (instances) => {
    const { password, token } = await instances.newcomer();
    const credential = bearer(token);
    return { credential, revoke: () => demand(instances, 'DELETE', '/users/me', credential, { password }) };
  },

  'the account of a key is deleted': async (instances) => {
    const { credential, password, token } = await keyHolder(instances);
    return {
      credential,
      revoke: () => demand(instances, 'DELETE', '/users/me', bearer(token), { password }),
    };
  },

  'an operator disables the account of a key': async (instances) => {
    const { credential, username } = await keyHolder(instances);
    return { credential, revoke: () => disable(instances, username), byOperator: true };
  },

  'an operator disables the account of a session': async (instances) => {
    const { username, token } = await instances.newcomer();
    return { credential: bearer(token), revoke: () => disable(instances, username), byOperator: true };
  },
};

/** By a command, whose process takes longer to end than the instances to learn of it. */
async function disable({ database, settings }: TwoInstances, username: string): Promise<void> {
  const stands = `SELECT id FROM users WHERE username = '${username}' AND disabled_at IS NULL`;
  const command = runCommand('latchkey', ['user', 'disable', username], settings);
  while ((await database.rows(stands)).length > 0) await delay(5);
  commands.add(command.then(({ code }) => code));
}

/** What the commands of a test came to. */
const commands = new Set<Promise<number | null>>();

/**
 * Milliseconds from the answer to whoever revoked something at one instance to the last time that the other let it in. Both
 * are at work: the other one is asked over and over.
 */
async function lagOf(instances: TwoInstances, given?: Victim): Promise<number> {
  const { credential, revoke, byOperator } = given ?? (await logout(instances));
  expect(await statusAt(instances, 1, credential)).toBe(200);
  await revoke();
  const revokedAt = performance.now();
  if (!byOperator) expect(await statusAt(instances, 0, credential)).toBe(401);
  let lastAccepted = 0;
  for (;;) {
    const askedAt = performance.now() - revokedAt;
    const status = await statusAt(instances, 1, credential);
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
async function measure(
  instances: TwoInstances,
  what: string,
  boundMs: number,
  { deed = logout, count = ROUNDS } = {},
): Promise<number> {
  const lags: number[] = [];
  while (lags.length < count) {
    // Together, since it is waited for that both instances know of each.
    const some = Array.from({ length: Math.min(PREPARED, count - lags.length) }, () => deed(instances));
    for (const victim of await Promise.all(some)) lags.push(await lagOf(instances, victim));
  }
  for (const code of await Promise.all(commands)) expect(code).toBe(0);
  commands.clear();
  process.stdout.write(`${what}: ${histogram(lags, boundMs)}\n`);
  return Math.max(...lags);
}

describe('what one instance revokes, the other refuses', () => {
  describe('where there is no Redis', () => {
    let instances: TwoInstances;
    beforeAll(async () => (instances = await TwoInstances.start({ RATE_LIMITS: 'off' })));
    afterAll(() => instances.stop());

    it(
      'within a second without Redis',
      async () => {
        expect(await measure(instances, 'without Redis', BOUND_MS)).toBeLessThanOrEqual(BOUND_MS);
      },
      PROOF_TIMEOUT_MS,
    );

    it.each(Object.entries(OTHER_DEEDS))(
      'within a second when %s',
      async (name, deed) => {
        const others = { deed, count: ROUNDS_OF_OTHERS };
        expect(await measure(instances, name, BOUND_MS, others)).toBeLessThanOrEqual(BOUND_MS);
      },
      PROOF_TIMEOUT_MS,
    );
  });

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

    it.each(Object.entries(OTHER_DEEDS))(
      'within a tenth of a second when %s',
      async (name, deed) => {
        const what = `${name}, with Redis`;
        const others = { deed, count: ROUNDS_OF_OTHERS };
        const longest = await measure(instances, what, BOUND_WITH_REDIS_MS, others);
        expect(longest).toBeLessThanOrEqual(BOUND_WITH_REDIS_MS);
      },
      PROOF_TIMEOUT_MS,
    );

    it('within a second while Redis hangs, and nobody waits for it', async () => {
      redis.freeze();
      try {
        const { revoke } = await logout(instances);
        const begun = performance.now();
        await revoke();
        expect(performance.now() - begun).toBeLessThan(COMMAND_TIMEOUT_MS);
        expect(await lagOf(instances)).toBeLessThanOrEqual(BOUND_MS);
      } finally {
        redis.thaw();
      }
    });

    it('within a second while Redis is gone, and within a tenth again once it is back', async () => {
      await redis.kill();
      expect(await lagOf(instances)).toBeLessThanOrEqual(BOUND_MS);

      await redis.start();
      // The poll alone would be as quick now and then.
      const deadline = performance.now() + 20_000;
      let inTime = 0;
      while (inTime < 10 && performance.now() < deadline) {
        inTime = (await lagOf(instances)) <= BOUND_WITH_REDIS_MS ? inTime + 1 : 0;
      }

      expect(inTime).toBe(10);
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
