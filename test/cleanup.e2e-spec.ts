import { DataSource } from 'typeorm';
import { addSeconds } from '../src/core/instant';
import { QuietLogger } from '../src/database/quiet-logger';
import { CounterKeeper } from '../src/rate-limit/counter-keeper';
import { PasswordAttemptsCleanup } from '../src/rate-limit/password-attempts-cleanup';
import { RevocationCleanup } from '../src/revocation/revocation-cleanup';
import { SessionCleanup } from '../src/sessions/session-cleanup';
import { startApp, type TestApp } from './support/app';
import { onMysql } from './support/database';
import { gate } from './support/gate';
import { hastening } from './support/hastening';
import { logIn, newcomer, type Person, signUp } from './support/people';
import { quiet } from './support/quiet';
import { runCommand, settingsFor } from './support/server-process';
import { turnsDuring } from './support/statements';
import { TestFailpoints } from './support/test-failpoints';

const DAY = 24 * 3600;

describe('dead rows', () => {
  const failpoints = new TestFailpoints();
  let app: TestApp;
  let other: TestApp | undefined;
  beforeEach(async () => (app = await startApp({}, { failpoints })));
  afterEach(async () => {
    failpoints.set(undefined);
    await other?.nest.close();
    other = undefined;
    await app.close();
  });

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

  it('of attempts at a password are removed an hour after the last of them counts no more', async () => {
    const { username } = await newcomer(app);
    await app.call('POST', '/auth/login', { body: { username, password: 'not theirs' } });
    app.clock.advance(DAY + 3600 - 1);

    expect(await app.nest.get(PasswordAttemptsCleanup).sweep()).toBe(0);
    app.clock.advance(1);
    expect(await app.nest.get(PasswordAttemptsCleanup).sweep()).toBe(1);
  });

  it('of attempts at a password are not dead when somebody tries once more before they are removed', async () => {
    const { username } = await newcomer(app);
    const guess = () => app.call('POST', '/auth/login', { body: { username, password: 'not theirs' } });
    await guess();
    app.clock.advance(DAY + 3600);
    let guessed: Promise<unknown> = Promise.resolve();
    failpoints.set((point) => {
      if (point !== 'cleanup:rows_selected') return undefined;
      guessed = guess();
      // On SQLite whoever has read holds the file until he has removed.
      return onMysql ? guessed.then(() => undefined) : undefined;
    });

    await app.nest.get(PasswordAttemptsCleanup).sweep();
    await guessed;

    expect(await app.rows('SELECT in_a_row FROM password_attempts')).toEqual([{ in_a_row: 1 }]);
  });

  it('are removed by themselves, every minute', async () => {
    const { token, username } = await newcomer(app);
    await app.call('POST', '/auth/login', { body: { username, password: 'not theirs' } });
    await app.call('POST', '/auth/logout', { token });
    for (let calls = 1; calls < 10; calls += 1) await app.call('POST', '/users', { body: {} });
    await app.nest.get(CounterKeeper).flush();
    const tables = ['sessions', 'revocation_entries', 'password_attempts', 'limit_counters'];
    const counts = () => Promise.all(tables.map(count));
    expect(await counts()).toEqual([1, 1, 1, 1]);
    app.clock.advance(60 * DAY);

    await hastening(
      60_000,
      () => app.restart(),
      async () => (await counts()).every((number) => number === 0),
    );

    expect(await counts()).toEqual([0, 0, 0, 0]);
  });

  it('leave nothing for their tokens to open', async () => {
    const { token, refreshToken } = await newcomer(app);
    await app.call('POST', '/auth/logout', { token });
    app.clock.advance(DAY);
    await app.nest.get(SessionCleanup).sweep();

    expect((await app.call('POST', '/auth/refresh', { body: { refreshToken } })).status).toBe(401);
  });

  it('that two instances go for at once are removed once each', async () => {
    const dead = 150;
    await manySessions(await signUp(app), dead, addSeconds(app.clock.now(), -2 * DAY));
    other = await startApp({}, { failpoints, database: app.database });
    const [met, goOn] = [gate(), gate()];
    let readers = 0;
    failpoints.set((point) => {
      if (point !== 'cleanup:rows_selected') return undefined;
      readers += 1;
      if (readers === 2) met.open();
      return goOn.opened;
    });
    const refusals = new Set<string>();
    for (const { nest } of [app, other]) {
      const logQueryError = (error: Error) => {
        refusals.add(error.message);
        if (readers === 1) met.open();
      };
      nest.get(DataSource).logger = Object.assign(new QuietLogger(), { logQueryError });
    }

    const sweeps = Promise.all([app, other].map(({ nest }) => nest.get(SessionCleanup).sweep()));
    await Promise.race([met.opened, sweeps]);
    const readAtOnce = readers;
    goOn.open();
    const removed = await sweeps;

    // No deadlock is undone either. On SQLite they cannot meet here: whoever has read holds the file until he has removed.
    expect([...refusals]).toEqual(onMysql ? [] : ['database is locked']);
    expect(readAtOnce).toBe(onMysql ? 2 : 1);
    expect(removed.sort((one, another) => one - another)).toEqual([0, dead]);
    expect(await count('sessions')).toBe(0);
  });

  it('are removed by two processes at once, each row by one of them', async () => {
    // The processes go by the true time.
    const dead = 1000;
    const person = await signUp(app);
    await manySessions(person, 1, addSeconds(new Date(), DAY));
    await manySessions(person, dead, addSeconds(new Date(), -2 * DAY));

    const reports = await Promise.all(
      [1, 2].map(() => runCommand('latchkey', ['cleanup', '--json'], settingsFor(app.database))),
    );

    expect(reports.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ''],
      [0, ''],
    ]);
    const removed = reports.map(({ stdout }) => (JSON.parse(stdout) as { sessions: number }).sessions);
    expect((removed[0] ?? 0) + (removed[1] ?? 0)).toBe(dead);
    expect(await count('sessions')).toBe(1);
  });

  it('are removed in bounded numbers: a round takes no more than ten thousand', async () => {
    await manySessions(await signUp(app), 10_001, addSeconds(app.clock.now(), -2 * DAY));

    expect(await app.nest.get(SessionCleanup).sweep()).toBe(10_000);
    expect(await app.nest.get(SessionCleanup).sweep()).toBe(1);
  });

  it('are removed by a command with pauses as long as its work, in which whoever waits for the database has a turn', async () => {
    await manySessions(await signUp(app), 1_000, addSeconds(app.clock.now(), -2 * DAY));
    await quiet(app);
    let removed = 0;

    const turns = await turnsDuring(
      app,
      async () => (removed = await app.nest.get(SessionCleanup).sweepAll()),
    );

    expect(removed).toBe(1_000);
    expect(turns.length).toBeGreaterThan(4);
    // A timer may go off a moment early.
    for (const { worked, paused } of turns) expect(paused).toBeGreaterThan(Math.max(10, worked) - 2);
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
