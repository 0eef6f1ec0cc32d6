import { setImmediate as turn } from 'node:timers/promises';
import { addSeconds } from '../src/core/instant';
import { RevocationCleanup } from '../src/revocation/revocation-cleanup';
import { SessionCleanup } from '../src/sessions/session-cleanup';
import { startApp, type TestApp } from './support/app';
import { logIn, newcomer, type Person, signUp } from './support/people';
import { runCommand, settingsFor } from './support/server-process';

const DAY = 24 * 3600;

describe('dead rows', () => {
  let app: TestApp;
  beforeEach(async () => (app = await startApp()));
  afterEach(() => app.close());

  const count = async (table: string): Promise<number> =>
    Number((await app.rows<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`))[0]?.n);

  it('of sessions that ended by themselves are removed a day later, and not before', async () => {
    await newcomer(app);
    app.clock.advance(30 * DAY + DAY - 1);

    expect(await app.nest.get(SessionCleanup).sweep()).toBe(0);
    app.clock.advance(1);
    expect(await app.nest.get(SessionCleanup).sweep()).toBe(1);

    expect(await count('sessions')).toBe(0);
  });

  it('of sessions that somebody ended are removed a day later; those that stand are left alone', async () => {
    const person = await newcomer(app);
    await logIn(app, person);
    await app.call('POST', '/auth/logout', { token: person.token });
    app.clock.advance(DAY);

    expect(await app.nest.get(SessionCleanup).sweep()).toBe(1);

    expect(await app.rows('SELECT revoked_at FROM sessions')).toEqual([{ revoked_at: null }]);
  });

  it('of the feed are removed when they concern nothing valid any more', async () => {
    const { token } = await newcomer(app);
    await app.call('POST', '/auth/logout', { token });
    app.clock.advance(3610 + DAY - 1);

    expect(await app.nest.get(RevocationCleanup).sweep()).toBe(0);
    app.clock.advance(1);
    expect(await app.nest.get(RevocationCleanup).sweep()).toBe(1);
  });

  it('are removed by themselves, every minute', async () => {
    const { token, username } = await newcomer(app);
    await app.call('POST', '/auth/login', { body: { username, password: 'not theirs' } });
    await app.call('POST', '/auth/logout', { token });
    const tables = ['sessions', 'revocation_entries', 'password_attempts'];
    const counts = () => Promise.all(tables.map(count));
    expect(await counts()).toEqual([1, 1, 1]);
    app.clock.advance(60 * DAY);

    // No test waits for a minute: here one has passed in a moment.
    const { setTimeout: later } = globalThis;
    const timers = jest
      .spyOn(globalThis, 'setTimeout')
      .mockImplementation((work: () => void, ms?: number) => later(work, ms === 60_000 ? 10 : ms));
    try {
      await app.restart();
      const deadline = performance.now() + 10_000;
      while ((await counts()).some((number) => number > 0) && performance.now() < deadline) await turn();
    } finally {
      timers.mockRestore();
    }

    expect(await counts()).toEqual([0, 0, 0]);
  });

  it('leave nothing for their tokens to open', async () => {
    const { token, refreshToken } = await newcomer(app);
    await app.call('POST', '/auth/logout', { token });
    app.clock.advance(DAY);
    await app.nest.get(SessionCleanup).sweep();

    expect((await app.call('POST', '/auth/refresh', { body: { refreshToken } })).status).toBe(401);
  });

  it('are removed by two processes at once, each row by one of them', async () => {
    // The processes go by the true time.
    const person = await signUp(app);
    await manySessions(person, 1, addSeconds(new Date(), DAY));
    let removed = [0, 0];

    // Two that were started together may yet be at work one after the other: again with more, until they have met.
    for (let dead = 3000; dead <= 48_000 && Math.min(...removed) === 0; dead *= 2) {
      await manySessions(person, dead, addSeconds(new Date(), -2 * DAY));
      const reports = await Promise.all(
        [1, 2].map(() => runCommand('latchkey', ['cleanup', '--json'], settingsFor(app.database))),
      );

      expect(reports.map(({ code, stderr }) => [code, stderr])).toEqual([
        [0, ''],
        [0, ''],
      ]);
      removed = reports.map(({ stdout }) => (JSON.parse(stdout) as { sessions: number }).sessions);
      expect((removed[0] ?? 0) + (removed[1] ?? 0)).toBe(dead);
      expect(await count('sessions')).toBe(1);
    }

    expect(Math.min(...removed)).toBeGreaterThan(0);
  }, 120_000);

  it('are removed in bounded numbers: a round takes no more than ten thousand', async () => {
    await manySessions(await signUp(app), 10_001, addSeconds(app.clock.now(), -2 * DAY));

    expect(await app.nest.get(SessionCleanup).sweep()).toBe(10_000);
    expect(await app.nest.get(SessionCleanup).sweep()).toBe(1);
  });

  /** Sessions that end or have ended at that instant. */
  const manySessions = async ({ id }: Person, number: number, end: Date) => {
    const rows = Array.from({ length: number }, (_, index) => ({
      ...{ id: `sess_${end.getTime()}_${index}`, userId: id, generation: 0, nonceHash: '' },
      ...{ createdAt: end, idleEndsAt: end, endsAt: end, accessEndsAt: end, ip: '' },
    }));
    for (let start = 0; start < number; start += 1000) {
      await app.inDatabase((tx) => tx.insert('Session', rows.slice(start, start + 1000)));
    }
  };
});
