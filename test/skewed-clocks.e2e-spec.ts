import { setTimeout as delay } from 'node:timers/promises';
import { Clock, KeptClock } from '../src/core/clock';
import { SessionCleanup } from '../src/sessions/session-cleanup';
import { SessionsService } from '../src/sessions/sessions.service';
import { ClockKeeper, MOST_CORRECTED_MS } from '../src/revocation/clock-keeper';
import { RevocationFeed } from '../src/revocation/revocation-feed';
import type { RevocationEntry } from '../src/revocation/revocation-entry.entity';
import { startApp, type TestApp } from './support/app';
import { createDatabase } from './support/database';
import { claimsOf } from './support/forgery';
import { bearer, TwoInstances } from './support/instances';
import { OperatorDesk } from './support/operator-desk';
import { createKey, type LoginBody, newcomer, statusWith, type TokensBody } from './support/people';
import { settingsFor, startServer, withWrongClock } from './support/server-process';
import { faultRounds, FAULTS_SEED } from './support/thoroughness';

/** How far either clock is off, in milliseconds: five minutes. */
const SKEW_MS = 300_000;

/** How far apart two clocks may be that are kept: what is let pass as noise, on both sides, and a slow answer. */
const KEPT_MS = 500;

/**
 * How far a process may be off that keeps its clock, however slow the machine is: half of the longest question that is taken at its
 * word, what is let pass as noise, and the rest to be sure.
 */
const SLACK_MS = 1_000;

const [ACCESS_TOKEN_TTL, REFRESH_GRACE] = [3, 2];

/** A machine's clock that goes wrong. */
class WrongClock extends Clock {
  /** Milliseconds that have passed by both its clocks without having passed. */
  private passed = 0;

  constructor(public wrongBy: number) {
    super();
  }

  now(): Date {
    return new Date(Date.now() + this.passed + this.wrongBy);
  }

  monotonic(): number {
    return performance.now() + this.passed;
  }

  pass(milliseconds: number): void {
    this.passed += milliseconds;
  }
}

/** An instance on a machine of its own. */
interface Instance {
  app: TestApp;
  machine: WrongClock;
}

/** As often and as much as the seed says. */
function skews(count: number): number[] {
  let state = FAULTS_SEED;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.round((state / 2 ** 31 - 1) * SKEW_MS);
  });
}

describe('instances whose clocks are wrong', () => {
  let fast: Instance;
  let slow: Instance;

  beforeAll(async () => {
    const database = await createDatabase();
    const start = async (wrongBy: number): Promise<Instance> => {
      const machine = new WrongClock(wrongBy);
      const settings = {
        ACCESS_TOKEN_TTL: `${ACCESS_TOKEN_TTL}`,
        REFRESH_GRACE: `${REFRESH_GRACE}`,
        RATE_LIMITS: 'off',
        METRICS: 'on',
      };
      return { app: await startApp(settings, { database, clock: new KeptClock(machine) }), machine };
    };
    fast = await start(SKEW_MS);
    slow = await start(-SKEW_MS);
  });
  afterAll(async () => {
    await slow.app.nest.close();
    await fast.app.close();
  });

  const timeAt = ({ app }: Instance) => app.nest.get(Clock).now().getTime();
  const ready = async ({ app }: Instance) => (await app.fetch('/health/ready')).headers.get('x-error-code');
  const opens = async ({ app }: Instance, token: string) =>
    (await app.call('GET', '/users/me', { token })).status === 200;
  const refresh = ({ app }: Instance, { refreshToken }: TokensBody) =>
    app.call<TokensBody>('POST', '/auth/refresh', { body: { refreshToken } });
  /** Sets a machine's clock, and waits until whoever runs there has looked at the database's. */
  const set = async ({ app, machine }: Instance, wrongBy: number) => {
    machine.wrongBy = wrongBy;
    const feed = app.nest.get<{ poll: () => Promise<void>; polling: { current?: Promise<void> } }>(
      RevocationFeed,
    );
    // One may be under way that had asked before.
    await feed.polling.current;
    await feed.poll();
  };
  const eachWay = () =>
    [
      [fast, slow],
      [slow, fast],
    ] as const;

  it('go by the time of the database, and say by how much they are corrected', async () => {
    expect(Math.abs(timeAt(fast) - timeAt(slow))).toBeLessThan(KEPT_MS);
    expect(Math.abs(timeAt(fast) - Date.now())).toBeLessThan(KEPT_MS);
    for (const [{ app }, wrongBy] of [
      [fast, SKEW_MS],
      [slow, -SKEW_MS],
    ] as const) {
      const [, seconds] = /^latchkey_clock_offset_seconds (\S+)$/m.exec(
        await (await app.fetch('/metrics')).text(),
      ) as unknown as [string, string];
      expect(Math.abs(Number(seconds) * 1000 + wrongBy)).toBeLessThan(KEPT_MS);
      expect(app.logged).toContainEqual(
        expect.objectContaining({ msg: "This machine's clock is off; the service goes by the database's" }),
      );
    }
  });

  it('let in what the other has issued, and let nothing in once it has expired', async () => {
    for (const [issuer, other] of eachWay()) {
      const { token } = await newcomer(issuer.app);
      const issued = performance.now();

      expect([await opens(issuer, token), await opens(other, token)]).toEqual([true, true]);
      await delay(ACCESS_TOKEN_TTL * 1000 + KEPT_MS - (performance.now() - issued));
      expect([await opens(issuer, token), await opens(other, token)]).toEqual([false, false]);
    }
  });

  it(
    'see no thief in who repeats a refresh at the other within the grace, however their clocks are set meanwhile',
    async () => {
      const moved = skews(faultRounds(4, 60));
      let session: LoginBody | TokensBody = await newcomer(fast.app);
      for (const [round, wrongBy] of moved.entries()) {
        const [first, second] = eachWay()[round % 2] as readonly [Instance, Instance];
        await set(round % 3 === 0 ? first : second, wrongBy);

        const [once, again] = [await refresh(first, session), await refresh(second, session)];

        expect([once.status, again.status]).toEqual([200, 200]);
        expect(again.body.refreshToken).toBe(once.body.refreshToken);
        session = again.body;
      }
    },
    10_000 + faultRounds(4, 60) * 3_000,
  );

  it('see the thief in who comes later', async () => {
    for (const [first, second] of eachWay()) {
      const stolen = await newcomer(first.app);
      const { body } = await refresh(first, stolen);
      await delay(REFRESH_GRACE * 1000 + KEPT_MS);

      expect((await refresh(second, stolen)).status).toBe(401);
      expect((await refresh(first, body)).status).toBe(401);
    }
  });

  it('tell all others of what they revoke, and forget nothing, while they are too far off', async () => {
    const victim = await newcomer(fast.app);
    const { sid } = claimsOf(victim.token) as { sid: string };
    const feeds = [slow, fast].map(({ app }) => app.nest.get(RevocationFeed));
    await set(slow, 2 * MOST_CORRECTED_MS);

    await slow.app.inDatabase((tx) => slow.app.nest.get(SessionsService).revoke(tx, sid, 'logout'));

    for (const feed of feeds) await feed.poll();
    expect(feeds.map((feed) => feed.statusOf(sid))).toEqual(['revoked', 'revoked']);
    expect(await slow.app.nest.get(SessionCleanup).sweep()).toBe(0);
    await set(slow, 0);
    expect(feeds.map((feed) => feed.statusOf(sid))).toEqual(['revoked', 'revoked']);
  });

  it('are not ready while that is more than they correct, say why, and are again when it is set right', async () => {
    const before = timeAt(slow);
    await set(slow, MOST_CORRECTED_MS + 60_000);
    const astray = await ready(slow);
    await set(slow, 0);

    expect(astray).toBe('clock_astray');
    expect(slow.app.logged).toContainEqual(
      expect.objectContaining({ level: 'error', seconds: expect.closeTo(-660, 0) as number }),
    );
    expect([await ready(slow), await ready(fast)]).toEqual([null, null]);
    expect(timeAt(slow) - before).toBeLessThan(60_000);
  });

  it.each([-1, 1])(
    'judge by the time that they had while that is more than they correct, one way and the other: %d',
    async (direction) => {
      const person = await newcomer(fast.app);
      const issued = performance.now();
      await set(slow, direction * (MOST_CORRECTED_MS + 60_000));

      const fresh = await opens(slow, person.token);
      const [once, again] = [await refresh(fast, person), await refresh(slow, person)];
      await delay(ACCESS_TOKEN_TTL * 1000 + KEPT_MS - (performance.now() - issued));
      const expired = await opens(slow, person.token);
      await set(slow, 0);

      expect([fresh, once.status, again.status, expired]).toEqual([true, 200, 200, false]);
    },
  );

  it('hear of keys that an operator stops on machines two hours behind and ahead', async () => {
    const { token } = await newcomer(fast.app);
    const keys = [await createKey(fast.app, token), await createKey(fast.app, token)];
    const keyIds = keys.map(({ keyId }) => keyId);
    const feeds = [slow, fast].map(({ app }) => app.nest.get(RevocationFeed));
    for (const feed of feeds) await feed.poll();
    const heard = feeds.map((feed) => {
      const ids: string[] = [];
      feed.onKeyChange((id) => ids.push(id));
      return ids;
    });

    for (const [index, hours] of [-2, 2].entries()) {
      const clock = new KeptClock(new WrongClock(hours * 3_600_000));
      const desk = new OperatorDesk(settingsFor(fast.app.database), { clock });
      await desk.report('key', 'disable', keyIds[index] as string);
      await desk.close();
    }

    for (const feed of feeds) await feed.poll();
    expect(heard).toEqual([keyIds, keyIds]);
    const lines = await fast.app.inDatabase((tx) =>
      tx.find<RevocationEntry>('RevocationEntry', { order: { position: 'DESC' }, take: 2 }),
    );
    const lasting = lines.map(({ expiresAt }) => expiresAt.getTime() - Date.now());
    // Nor is it told for longer than it has to be.
    expect(lasting.filter((lasts) => Math.abs(lasts - 3_600_000) > 60_000)).toEqual([]);
  });

  it('keep an operator from clearing away what only looks dead', async () => {
    const clock = new KeptClock(new WrongClock(2 * MOST_CORRECTED_MS));
    const desk = new OperatorDesk(settingsFor(fast.app.database), { clock });

    await expect(desk.report('cleanup')).rejects.toThrow(/too far apart .* nothing was removed/);
    await desk.close();
  });
});

describe('a machine that its database is on', () => {
  const machine = new WrongClock(0);
  let app: TestApp;
  let feed: RevocationFeed;
  beforeAll(async () => {
    app = await startApp({}, { clock: new KeptClock(machine) });
    feed = app.nest.get(RevocationFeed);
    // Nobody polls but these tests.
    await feed.onApplicationShutdown();
    const keeper = app.nest.get(ClockKeeper);
    const note = keeper.note.bind(keeper);
    jest
      .spyOn(keeper, 'note')
      .mockImplementation((sample) => note({ ...sample, said: new Date(machine.now().getTime()) }));
    await feed.poll();
  });
  afterAll(() => app.close());

  /** Sets the clock of both, and lets the memory of what was revoked be tidied up by it. */
  const set = async (wrongBy: number) => {
    machine.wrongBy = wrongBy;
    await feed.poll();
    machine.pass(11_000);
    await feed.poll();
  };

  it('forgets for no longer than a poll what was revoked, when both are set hours ahead and back', async () => {
    const victim = await newcomer(app);
    const { sid } = claimsOf(victim.token) as { sid: string };
    await app.inDatabase((tx) => app.nest.get(SessionsService).revoke(tx, sid, 'logout'));
    await set(2 * 3_600_000);
    const ahead = feed.remembered;

    await set(0);

    expect(ahead).toBe(0);
    expect(feed.statusOf(sid)).toBe('revoked');
    expect(await statusWith(app, victim)).toBe(401);
  });

  it('forgets what it knew of keys when it wakes up from a sleep longer than it is told of changes', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    await feed.poll();
    const awake = await statusWith(app, { key: apiKey });
    // By another instance, which has told of it in a line that has ended since.
    await app.inDatabase((tx) => tx.update('ApiKey', { id: keyId }, { disabledAt: new Date() }));

    machine.wrongBy = 2 * 3_600_000;
    await feed.poll();

    expect([awake, await statusWith(app, { key: apiKey })]).toEqual([200, 401]);
  });
});

describe('processes whose machines have wrong clocks', () => {
  let instances: TwoInstances;
  beforeAll(async () => {
    const settings = { ACCESS_TOKEN_TTL: `${ACCESS_TOKEN_TTL}`, RATE_LIMITS: 'off' };
    instances = await TwoInstances.start(settings, [withWrongClock(SKEW_MS), withWrongClock(-SKEW_MS)]);
  }, 60_000);
  afterAll(() => instances.stop());

  const BOTH = [0, 1] as const;

  const verify = async (at: 0 | 1, token: string) =>
    (await instances.call(at, 'GET', '/auth/verify', bearer(token))).status;
  const refresh = (at: 0 | 1, refreshToken = '') =>
    instances.call(at, 'POST', '/auth/refresh', {}, { refreshToken });

  /** Between when the token was last let in there, as asked, and first refused, as answered, milliseconds of the epoch. */
  const endOf = async (token: string, at: 0 | 1): Promise<{ letInAt: number; refusedAt: number }> => {
    let letInAt = NaN;
    for (;;) {
      const asked = Date.now();
      if ((await verify(at, token)) !== 200) return { letInAt, refusedAt: Date.now() };
      letInAt = asked;
    }
  };

  it('really have: each says by how much it is corrected', async () => {
    const [fast, slow] = instances.processes;
    const off = (seconds: string) => new RegExp(`"seconds":${seconds}\\b.*This machine's clock is off`);

    await fast?.says(off('-(299|300)'));
    await slow?.says(off('(299|300)'));
  });

  it('let in what the other has issued until it expires, to a second, and not any longer', async () => {
    const { username, password } = await instances.newcomer();
    for (const issuer of BOTH) {
      const { token } = await instances.logIn(issuer, username, password);
      const expires = (claimsOf(token) as { exp: number }).exp * 1000;

      for (const { letInAt, refusedAt } of await Promise.all(BOTH.map((at) => endOf(token, at)))) {
        expect(letInAt).toBeLessThan(expires + SLACK_MS);
        expect(refusedAt).toBeGreaterThan(expires - SLACK_MS);
      }
    }
  });

  it('see no thief in a refresh that comes to both at once', async () => {
    const { username, password } = await instances.newcomer();
    let { refreshToken } = await instances.logIn(0, username, password);
    for (let round = 0; round < faultRounds(10, 100); round += 1) {
      const answers = await Promise.all(BOTH.map((at) => refresh(at, refreshToken)));

      expect(answers.map(({ status }) => status)).toEqual([200, 200]);
      expect(answers[0]?.body['refreshToken']).toBe(answers[1]?.body['refreshToken']);
      for (const [at, { body }] of answers.entries()) {
        expect(await verify((1 - at) as 0 | 1, body['token'] ?? '')).toBe(200);
      }
      refreshToken = answers[round % 2]?.body['refreshToken'] ?? '';
    }
    const { database } = instances;
    expect(await database.rows("SELECT id FROM audit_events WHERE type = 'refresh_token_reused'")).toEqual(
      [],
    );
  }, 60_000);

  it('are not ready while that is more than they correct', async () => {
    for (const direction of [-1, 1]) {
      const off = withWrongClock(direction * (MOST_CORRECTED_MS + 60_000));
      const astray = await startServer({ ...instances.settings, ...off });
      const ready = await fetch(`${astray.url}/health/ready`);
      astray.signal('SIGTERM');

      expect([ready.status, ready.headers.get('x-error-code')]).toEqual([503, 'clock_astray']);
      expect(await astray.exit()).toBe(0);
    }
    for (const { url } of instances.processes) expect((await fetch(`${url}/health/ready`)).status).toBe(200);
  }, 60_000);
});
