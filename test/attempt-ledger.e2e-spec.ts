import { PasswordHasher } from '../src/crypto/password-hasher';
import { Clock } from '../src/core/clock';
import { ApiError } from '../src/core/errors';
import { withBudget } from '../src/core/request-budget';
import { Transactions } from '../src/database/transactions';
import { AttemptLedger } from '../src/rate-limit/attempt-ledger';
import type { Attempts } from '../src/rate-limit/attempt-rule';
import { PasswordAttempts } from '../src/rate-limit/password-attempts';
import { UsersService } from '../src/users/users.service';
import { startApp, type TestApp } from './support/app';
import { type Gate, gate } from './support/gate';
import { TwoInstances } from './support/instances';
import { newcomer, signUp } from './support/people';

const DAY = 24 * 3600;

/** Of what is not taken back. */
const drop = () => undefined;

describe('the ledger of password attempts', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ TRUST_PROXY: 'loopback' })));
  afterAll(() => app.close());

  let lastAddress = 0;
  const newAddress = () => {
    lastAddress += 1;
    return { 'x-forwarded-for': `10.7.${lastAddress >> 8}.${lastAddress & 255}` };
  };
  const guess = (username: string, more: object = {}) =>
    app.call('POST', '/auth/login', {
      body: { username, password: 'a guess', ...more },
      headers: newAddress(),
    });

  it('counts each of two hundred that race for one row exactly once, at four instances', async () => {
    // An instance knows of the others by the row alone; so does a ledger.
    const ledgers = Array.from(
      { length: 4 },
      () => new AttemptLedger(app.nest.get(Transactions), app.nest.get(Clock)),
    );
    const count = ({ inARow }: Attempts) => ({
      attempts: { evaluated: [1], inARow: inARow + 1 },
      outcome: inARow,
    });

    // One after the other, so that each ledger comes back to the row again and again and finds it changed.
    const seen = await Promise.all(
      ledgers.map(async (ledger) => {
        const outcomes: number[] = [];
        for (let time = 0; time < 50; time += 1)
          outcomes.push(await ledger.change('f'.repeat(64), count, drop));
        return outcomes;
      }),
    );

    expect(seen.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, index) => index));
    const [row] = await app.rows('SELECT in_a_row, version FROM password_attempts WHERE id = ?', [
      'f'.repeat(64),
    ]);
    expect(row).toEqual({ in_a_row: 200, version: 200 });
    await app.inDatabase((tx) => tx.query('DELETE FROM password_attempts'));
  }, 60_000);

  describe('which remembers what it has written', () => {
    const id = 'e'.repeat(64);
    const set = (inARow: number) => () => ({ attempts: { evaluated: [1], inARow }, outcome: inARow });
    const look = (attempts: Attempts) => ({ attempts, outcome: attempts.inARow });
    const add = ({ evaluated, inARow }: Attempts) => ({
      attempts: { evaluated, inARow: inARow + 1 },
      outcome: inARow,
    });
    const remove = () => app.inDatabase((tx) => tx.query('DELETE FROM password_attempts'));
    let one: AttemptLedger;
    let another: AttemptLedger;
    beforeEach(async () => {
      const [transactions, clock] = [app.nest.get(Transactions), app.nest.get(Clock)];
      one = new AttemptLedger(transactions, clock);
      another = new AttemptLedger(transactions, clock);
      await one.change(id, set(3), drop);
    });
    afterEach(remove);

    it('changes what another has written since', async () => {
      await another.change(id, set(7), drop);

      expect(await one.change(id, add, drop)).toBe(7);
      expect(await another.change(id, look, drop)).toBe(8);
    });

    it('looks again before it changes nothing', async () => {
      await another.change(id, set(7), drop);

      expect(await one.change(id, look, drop)).toBe(7);
    });

    it('begins anew where the row was removed', async () => {
      await remove();

      await one.change(id, set(1), drop);

      expect(await another.change(id, look, drop)).toBe(1);
    });

    it('has forgotten it ten seconds later, when a row that was made anew may have the same version', async () => {
      await remove();
      await another.change(id, set(5), drop);
      app.clock.advance(11);

      expect(await one.change(id, add, drop)).toBe(5);
    });
  });

  describe('while it is long about a row', () => {
    const id = 'd'.repeat(64);
    const add =
      (count: number) =>
      ({ evaluated, inARow }: Attempts) => ({
        attempts: { evaluated: [...evaluated, 1], inARow: inARow + count },
        outcome: inARow,
      });
    /** Somebody who has next to no time left. */
    const late = (change: () => Promise<number>, milliseconds = 1) =>
      withBudget(milliseconds, change).then(
        () => 'changed',
        (error: unknown) => (error instanceof ApiError ? error.code : String(error)),
      );
    let goOn: Gate;
    let ledger: AttemptLedger;
    beforeEach(() => {
      goOn = gate();
      const door = app.nest.get(Transactions);
      const slowly: Transactions['read'] = (work) => goOn.opened.then(() => door.read(work));
      const slow = Object.assign(Object.create(door) as Transactions, { read: slowly });
      ledger = new AttemptLedger(slow, app.nest.get(Clock));
    });
    afterEach(() => app.inDatabase((tx) => tx.query('DELETE FROM password_attempts')));

    it('answers who has no time left, and makes no change of his but one that is to be made all the same', async () => {
      const first = ledger.change(id, add(1), drop);
      const left = [
        late(() => ledger.change(id, add(10), drop)),
        late(() => ledger.change(id, add(100), 'made all the same')),
      ];
      const patient = ledger.change(id, add(1_000), drop);

      const answered = await Promise.all(left);
      goOn.open();
      const seen = [await first, await patient];

      expect(answered).toEqual(['service_unavailable', 'service_unavailable']);
      expect(seen).toEqual([0, 101]);
      expect(await app.rows('SELECT in_a_row, version FROM password_attempts')).toEqual([
        { in_a_row: 1_101, version: 2 },
      ]);
    });

    it('makes a change all the same that is asked for when no time is left at all', async () => {
      const answered = await late(() => ledger.change(id, add(100), 'made all the same'), 0);
      const patient = ledger.change(id, add(1_000), drop);
      goOn.open();

      expect(answered).toBe('service_unavailable');
      expect(await patient).toBe(100);
    });

    it('takes back what was decided for who has left before it was written', async () => {
      const door = app.nest.get(Transactions);
      const slow = Object.assign(Object.create(door) as Transactions, {
        run: ((work) => goOn.opened.then(() => door.run(work))) satisfies Transactions['run'],
        statement: ((work) =>
          goOn.opened.then(() => door.statement(work))) satisfies Transactions['statement'],
      });
      ledger = new AttemptLedger(slow, app.nest.get(Clock));
      const takenBack: number[] = [];
      const takeBack = (outcome: number) => {
        takenBack.push(outcome);
        return (before: Attempts) => ({ ...before, inARow: before.inARow - 10 });
      };

      const answered = await late(() => ledger.change(id, add(10), takeBack), 1_500);
      const patient = ledger.change(id, add(1_000), drop);
      goOn.open();
      await patient;
      const left = await ledger.change(id, (attempts) => ({ attempts, outcome: attempts.inARow }), drop);

      expect([answered, takenBack, left]).toEqual(['service_unavailable', [0], 1_000]);
    });

    it('makes no change of who has left before it knows the row, though his was the first', async () => {
      const answered = await late(() => ledger.change(id, add(10), drop));
      const patient = ledger.change(id, add(1_000), drop);
      goOn.open();

      expect(answered).toBe('service_unavailable');
      expect(await patient).toBe(0);
      expect(await app.rows('SELECT in_a_row, version FROM password_attempts')).toEqual([
        { in_a_row: 1_000, version: 1 },
      ]);
    });
  });

  it('tells of a success how many in a row had failed before it, and takes none that succeeded for one', async () => {
    const attempts = app.nest.get(PasswordAttempts);
    const caller = { userId: null, origin: { ip: '10.7.0.1', userAgent: null, requestId: 'req_attempts' } };
    const come = (subject: string) => attempts.admit('login-account', subject, caller);

    const [first, second] = [await come('at once'), await come('at once')];
    const atOnce = [await first.succeed(), await second.succeed()];
    await come('one failed');
    const third = await come('one failed');
    const behind = [await third.succeed(), await (await come('one failed')).succeed()];
    const slow = await come('overtaken');
    await come('overtaken');
    const overtaken = await slow.succeed();

    expect([atOnce, behind, overtaken]).toEqual([[0, 0], [1, 0], 0]);
  });

  it('holds each of 150 failures that race for one name, as many as were evaluated and no more', async () => {
    const { username } = await signUp(app);
    await app.inDatabase((tx) => tx.query('DELETE FROM password_attempts'));

    const answers = await Promise.all(Array.from({ length: 150 }, () => guess(username)));

    const statuses = answers.map(({ status }) => status);
    const answered = (wanted: number) => statuses.filter((status) => status === wanted).length;
    // On a slow machine some run out of time, before they are evaluated or after.
    const [failed, late] = [answered(401), answered(503)];
    expect(failed).toBeLessThanOrEqual(10);
    expect(failed + late).toBeGreaterThanOrEqual(10);
    expect(answered(429)).toBe(150 - failed - late);
    const rows = await app.rows<{ evaluated: string; in_a_row: number }>('SELECT * FROM password_attempts');
    const held = rows.map(({ evaluated, in_a_row }) => [evaluated.split(',').length, in_a_row]);
    expect(held).toEqual([[expect.any(Number), held[0]?.[0]]]);
    expect(held[0]?.[0]).toBeGreaterThanOrEqual(failed);
    expect(held[0]?.[0]).toBeLessThanOrEqual(Math.min(10, failed + late));
  }, 60_000);

  describe('while a name is closed to strangers', () => {
    const closed = async (username: string) => {
      for (let time = 0; time < 10; time += 1) await guess(username);
      // The first to be refused is written down, with the account.
      expect((await guess(username)).status).toBe(429);
    };

    it.each<[string, object]>([
      ['no device token', {}],
      ['a device token that is none', { deviceToken: `dt_${'A'.repeat(92)}` }],
    ])(
      'costs a stranger with %s neither a hash nor a look at the accounts, and one look at the row',
      async (_, more) => {
        const { username } = await signUp(app);
        await closed(username);
        const door = app.nest.get(Transactions);
        const spies = [
          jest.spyOn(app.nest.get(PasswordHasher), 'verify'),
          jest.spyOn(app.nest.get(UsersService), 'findByUsername'),
          jest.spyOn(door, 'run'),
          jest.spyOn(door, 'statement'),
          jest.spyOn(door, 'read'),
        ];

        const statuses: number[] = [];
        for (let time = 0; time < 50; time += 1) statuses.push((await guess(username, more)).status);
        const costs = spies.map((spy) => spy.mock.calls.length);
        for (const spy of spies) spy.mockRestore();

        expect(new Set(statuses)).toEqual(new Set([429]));
        const [hashes, lookups, transactions, statements, reads] = costs as [
          ...[number, number, number, number, number],
        ];
        expect([hashes, lookups]).toEqual([0, 0]);
        // Beside one read for each there is what the server does by itself meanwhile.
        expect(transactions + statements).toBeLessThan(50);
        expect(reads).toBeLessThan(100);
      },
    );

    it('costs a stranger with a device token of another account one look at the accounts, however often he comes', async () => {
      const { username } = await signUp(app);
      const { deviceToken } = await newcomer(app);
      await closed(username);
      const lookups = jest.spyOn(app.nest.get(UsersService), 'find');

      for (let time = 0; time < 30; time += 1) {
        expect((await guess(username, { deviceToken })).status).toBe(429);
      }

      expect(lookups).toHaveBeenCalledTimes(1);
      app.clock.push(61);
      await guess(username, { deviceToken });
      expect(lookups).toHaveBeenCalledTimes(2);
      lookups.mockRestore();
    });

    it('needs no account to be refused: they may be out of reach', async () => {
      const { username } = await signUp(app);
      await closed(username);
      await app.inDatabase((tx) => tx.query('ALTER TABLE users RENAME TO users_hidden'));
      try {
        expect((await guess(username)).status).toBe(429);
        expect((await guess('somebody.not.closed')).status).toBe(503);
      } finally {
        await app.inDatabase((tx) => tx.query('ALTER TABLE users_hidden RENAME TO users'));
      }

      // What was not evaluated for trouble of ours was not counted.
      const statuses: number[] = [];
      for (let time = 0; time < 11; time += 1) statuses.push((await guess('somebody.not.closed')).status);
      expect(statuses).toEqual([...Array<number>(10).fill(401), 429]);
    });
  });
});

describe('two instances on one database', () => {
  let instances: TwoInstances;
  beforeAll(async () => (instances = await TwoInstances.start({ TRUST_PROXY: 'loopback' })), 120_000);
  afterAll(() => instances.stop());

  let calls = 0;
  /** A guess from an address of its own, at one instance after the other. */
  const guess = async () => {
    calls += 1;
    const begun = Math.floor(Date.now() / 1000);
    const response = await fetch(`${instances.processes[calls % 2]?.url}/api/v1/auth/login`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-forwarded-for': `10.6.${calls >> 8}.${calls & 255}`,
      },
      body: JSON.stringify({ username: 'attacked', password: 'a guess' }),
    });
    await response.arrayBuffer();
    return {
      ...{ status: response.status, begun, ended: Math.floor(Date.now() / 1000) },
      ...{ wait: Number(response.headers.get('retry-after')) },
      policy: response.headers.get('ratelimit-policy'),
    };
  };
  const evaluated = async (): Promise<number[]> => {
    const [row] = await instances.database.rows<{ evaluated: string }>(
      'SELECT evaluated FROM password_attempts',
    );
    return row?.evaluated.split(',').map(Number) ?? [];
  };
  /** Moves all that is remembered, so that the last attempt lies so many seconds back: time that passes for both. */
  const age = async (seconds: number): Promise<number> => {
    const all = await evaluated();
    const last = Math.floor(Date.now() / 1000) - seconds;
    const moved = all.map((at) => at - (all.at(-1) as number) + last);
    // With the version, as whoever changes a row does: an instance that remembers it would write over it otherwise.
    await instances.database.rows(
      `UPDATE password_attempts SET evaluated = '${moved.join(',')}', version = version + 1`,
    );
    return last;
  };

  it('let the same pauses grow together, and evaluate the same hundred a day', async () => {
    for (let time = 0; time < 10; time += 1) expect((await guess()).status).toBe(401);

    for (let failures = 10; failures < 100; failures += 1) {
      const pause = Math.min(2 ** (failures - 10), 900);
      // A minute in hand, as if a third instance were ahead: the pause must not end while it is asked for.
      const last = await age(-60);
      for (const refused of failures < 22 ? [await guess(), await guess()] : []) {
        expect([refused.status, refused.policy]).toEqual([429, '"login-account";q=10;w=86400']);
        expect(refused.wait).toBeLessThanOrEqual(last + pause - refused.begun);
        expect(refused.wait).toBeGreaterThanOrEqual(last + pause - refused.ended);
      }
      await age(pause);
      expect([failures, (await guess()).status]).toEqual([failures, 401]);
    }

    expect(await evaluated()).toHaveLength(100);
    await age(900);
    for (const refused of [await guess(), await guess()]) {
      expect([refused.status, refused.policy]).toEqual([429, '"login-account";q=100;w=86400']);
      expect(refused.wait).toBeGreaterThan(3600);
    }
    // A day after the oldest there is room again.
    const [oldest = 0, ...younger] = await evaluated();
    await age(DAY - ((younger.at(-1) as number) - oldest) + 1);
    expect([(await guess()).status, (await guess()).status]).toEqual([401, 429]);
  }, 120_000);
});
