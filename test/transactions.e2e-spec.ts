import type { EventEmitter } from 'node:events';
import { setImmediate as turnOver } from 'node:timers/promises';
import { withBudget } from '../src/core/request-budget';
import { isUniqueViolation, violates } from '../src/database/failures';
import { execute } from '../src/database/sql';
import { SqliteConnection } from '../src/database/sqlite-connection';
import { afterCommit, LONGEST_TRANSACTION_MS, Transactions } from '../src/database/transactions';
import { User } from '../src/users/user.entity';
import { startApp, type TestApp } from './support/app';
import { onMysql } from './support/database';
import { gate } from './support/gate';
import { signUp } from './support/people';
import { quiet } from './support/quiet';

describe('the door to the database', () => {
  let app: TestApp;
  let door: Transactions;
  beforeAll(async () => {
    app = await startApp();
    door = app.nest.get(Transactions);
  });
  afterAll(() => app.close());

  const row = (id: string): User => ({
    id,
    username: id,
    usernameCanonical: id,
    email: id,
    emailCanonical: id,
    passwordHash: '',
    credentialVersion: 1,
    scopes: '*',
    disabledAt: null,
    createdAt: app.clock.now(),
  });

  const exists = async (id: string) =>
    (await app.rows('SELECT id FROM users WHERE id = ?', [id])).length === 1;

  it('keeps what commits and nothing of what does not, though all run at once', async () => {
    const units = Array.from({ length: 20 }, (_, index) =>
      door.run(async (tx) => {
        await tx.insert(User, row(`a-${index}`));
        await tx.insert(User, row(`b-${index}`));
        if (index % 2 === 1) throw new Error('undo');
      }),
    );

    const outcomes = await Promise.allSettled(units);

    for (const [index, { status }] of outcomes.entries()) {
      expect(status).toBe(index % 2 === 1 ? 'rejected' : 'fulfilled');
      expect(await exists(`a-${index}`)).toBe(index % 2 === 0);
      expect(await exists(`b-${index}`)).toBe(index % 2 === 0);
    }
  });

  it('does not lose a statement to the rollback of a neighbour', async () => {
    const failing = door.run(async (tx) => {
      await tx.insert(User, row('rolled-back'));
      throw new Error('undo');
    });
    const single = door.statement((tx) => tx.insert(User, row('single-statement')));

    await Promise.allSettled([failing, single]);

    expect(await exists('rolled-back')).toBe(false);
    expect(await exists('single-statement')).toBe(true);
  });

  it('shows nobody what has not been committed', async () => {
    const [written, checked] = [gate(), gate()];
    const writing = door.run(async (tx) => {
      await tx.insert(User, row('in-between'));
      written.open();
      // On SQLite the reader waits in line, on MySQL it reads what was there before.
      if (onMysql) await checked.opened;
    });
    await written.opened;

    const reading = door.read((tx) => tx.existsBy(User, { id: 'in-between' }));
    if (onMysql) expect(await reading).toBe(false);
    checked.open();
    await writing;

    if (!onMysql) expect(await reading).toBe(true);
  });

  it.each(['run', 'read', 'statement'] as const)('refuses %s inside a unit of work', async (method) => {
    const nested = door.run(async (tx) => {
      await tx.insert(User, row(`outer-${method}`));
      await door[method](() => Promise.resolve());
    });

    await expect(nested).rejects.toThrow('A unit of work is open already');
    expect(await exists(`outer-${method}`)).toBe(false);
  });

  it('does what is to be done after a commit only after one', async () => {
    const done: string[] = [];

    await door.run((tx) => {
      afterCommit(tx, () => done.push('committed'));
      expect(done).toEqual([]);
      return Promise.resolve();
    });
    await door
      .run((tx) => {
        afterCommit(tx, () => done.push('rolled back'));
        return Promise.reject(new Error('undo'));
      })
      .catch(() => undefined);

    expect(done).toEqual(['committed']);
    await expect(door.read((tx) => Promise.resolve(afterCommit(tx, () => undefined)))).rejects.toThrow();
  });

  it('rolls back a transaction that took longer than readers of the feed look back', async () => {
    const slow = door.run(async (tx) => {
      await tx.insert(User, row('too-late'));
      app.clock.push((LONGEST_TRANSACTION_MS + 1) / 1000);
    });

    await expect(slow).rejects.toMatchObject({ code: 'service_unavailable' });
    expect(await exists('too-late')).toBe(false);
  });

  it('counts the rows that a guarded update matches, also those that it leaves as they are', async () => {
    const { id } = await signUp(app);

    const matched = await door.run(async (tx) => [
      await execute(tx, 'UPDATE users SET scopes = scopes WHERE id = ?', [id]),
      await execute(tx, 'UPDATE users SET scopes = scopes WHERE id = ? AND credential_version = ?', [id, 2]),
    ]);

    expect(matched).toEqual([1, 0]);
  });

  it('tells which unique index was violated, whatever the value says', async () => {
    const taken = { ...row('taken'), emailCanonical: "x' for key 'uq_users_username'" };
    await door.run((tx) => tx.insert(User, taken));

    const error: unknown = await door
      .run((tx) => tx.insert(User, { ...taken, id: 'b', usernameCanonical: 'b' }))
      .catch((failure: unknown) => failure);

    if (!isUniqueViolation(error)) throw new Error('Expected a violation');
    expect(violates(error, 'uq_users_username', 'users', 'username_canonical')).toBe(false);
    expect(violates(error, 'uq_users_email', 'users', 'email_canonical')).toBe(true);
  });

  it('calls a statement that the engine refuses trouble of ours', async () => {
    const failing = door.run((tx) => tx.query('SELECT nothing FROM nowhere'));

    await expect(failing).rejects.toMatchObject({ code: 'service_unavailable' });
  });

  it('answers within the time of its request, and commits nothing after it', async () => {
    const leave = gate();
    const late = withBudget(50, () =>
      door.run(async (tx) => {
        await tx.insert(User, row('too-late'));
        await leave.opened;
      }),
    );

    await expect(late).rejects.toMatchObject({ code: 'service_unavailable' });
    leave.open();

    expect(await exists('too-late')).toBe(false);
  });

  it('charges a request for all its time with the database, and for no other', async () => {
    const read = (seconds: number) => door.read(() => Promise.resolve(app.clock.push(seconds)));

    const { elsewhere, exhausted } = await withBudget(3_000, async () => {
      app.clock.push(60);
      const elsewhere = await read(2)
        .then(() => read(2))
        .then(() => 'served');
      return { elsewhere, exhausted: read(0) };
    });

    expect(elsewhere).toBe('served');
    await expect(exhausted).rejects.toMatchObject({ code: 'service_unavailable' });
  });

  it('does not begin what nobody waits for any more', async () => {
    const leave = gate();
    const holders = Array.from({ length: 10 }, () => door.read(() => leave.opened));
    let begun = false;
    const late = withBudget(50, () => door.read(() => Promise.resolve(void (begun = true))));

    await expect(late).rejects.toMatchObject({ code: 'service_unavailable' });
    leave.open();
    await Promise.all(holders);
    await door.read((tx) => tx.query('SELECT 1'));

    expect(begun).toBe(false);
  });

  it('has units that name one account wait for each other, and lets those of others pass between them', async () => {
    const [begun, leave] = [gate(), gate()];
    const order: string[] = [];
    const unit = (account: string) =>
      door.runFor(account, () => {
        order.push(account);
        return Promise.resolve();
      });
    const first = door.runFor('jane', () => {
      begun.open();
      return leave.opened;
    });
    await begun.opened;

    const all = ['jane', 'jane', 'john', 'jane'].map(unit);
    // On SQLite there is but one connection.
    if (onMysql) await all[2];
    leave.open();
    await Promise.all([first, ...all]);

    expect(order).toEqual(['john', 'jane', 'jane', 'jane']);
  });

  it('charges a request for the time that it waits for others of its account, and does nothing of it afterwards', async () => {
    const leave = gate();
    const first = door.runFor('jane', () => leave.opened);
    const late = withBudget(50, () => door.runFor('jane', (tx) => tx.insert(User, row('out-of-line'))));

    await expect(late).rejects.toMatchObject({ code: 'service_unavailable' });
    const next = door.runFor('jane', (tx) => tx.insert(User, row('next-in-line')));
    leave.open();
    await Promise.all([first, next]);

    expect([await exists('out-of-line'), await exists('next-in-line')]).toEqual([false, true]);
  });

  it('refuses a unit that names an account inside of another', async () => {
    const nested = door.runFor('jane', () => door.runFor('jane', () => Promise.resolve()));

    await expect(nested).rejects.toThrow('A unit of work is open already');
  });

  it('has five hundred wait for a connection, and refuses whoever comes then at once', async () => {
    await quiet(app);
    const leave = gate();
    const holding = Array.from({ length: onMysql ? 10 : 1 }, () => door.read(() => leave.opened));
    const waiting = Array.from({ length: 500 }, () => door.read((tx) => tx.query('SELECT 1')));

    let refused: unknown;
    void door.read((tx) => tx.query('SELECT 1')).catch((error: unknown) => (refused = error));
    // Turns of the loop and no time: nothing is waited for.
    for (let turn = 0; turn < 10 && refused === undefined; turn += 1) await turnOver();
    expect(refused).toMatchObject({ code: 'service_unavailable' });

    leave.open();
    const outcomes = await Promise.allSettled([...holding, ...waiting]);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
  });

  if (onMysql) {
    it('runs a transaction again that lost a deadlock', async () => {
      const [first, second] = [await signUp(app), await signUp(app)];
      const held = [gate(), gate()] as const;
      let attempts = 0;
      const lock = (id: string, index: 0 | 1, then: string) =>
        door.runFor(id, async (tx) => {
          attempts += 1;
          await execute(tx, 'UPDATE users SET scopes = ? WHERE id = ?', [`by ${index}`, id]);
          held[index].open();
          await held[index === 0 ? 1 : 0].opened;
          await execute(tx, 'UPDATE users SET scopes = ? WHERE id = ?', [`by ${index}`, then]);
        });

      await Promise.all([lock(first.id, 0, second.id), lock(second.id, 1, first.id)]);

      expect(attempts).toBe(3);
      const rows = await app.rows<{ scopes: string }>('SELECT scopes FROM users WHERE id IN (?, ?)', [
        first.id,
        second.id,
      ]);
      expect(new Set(rows.map(({ scopes }) => scopes)).size).toBe(1);
    });

    it('goes on when a connection tells of errors that belong to no statement, as a server does that takes leave', async () => {
      await app.inDatabase(async (tx) => {
        const connection = (await tx.queryRunner?.connect()) as EventEmitter;
        for (const time of ['once', 'again']) connection.emit('error', new Error(time));
      });

      expect(await app.rows('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    });

    it('gives up a statement that takes longer than three seconds, and its connection', async () => {
      const sleeping = door.read((tx) => tx.query('SELECT SLEEP(20)'));

      await expect(sleeping).rejects.toMatchObject({ code: 'service_unavailable' });
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          door.read((tx) => tx.query<{ n: number }[]>(`SELECT ${index} AS n`)),
        ),
      );
      expect(answers.map(([answer]) => Number(answer?.n))).toEqual([...Array(20).keys()]);
    });
  } else {
    describe('while another process writes to the file', () => {
      let other: SqliteConnection;
      beforeEach(async () => {
        other = new SqliteConnection(app.database.url.slice('sqlite:'.length));
        // In its turn: this waits with the whole process, also for a transaction of the background that could not go on then.
        await door.read(() => Promise.resolve(other.exec('BEGIN IMMEDIATE')));
      });
      afterEach(() => other.close());

      it('waits for its turn and holds up nothing else', async () => {
        const waiting = door.run((tx) => tx.insert(User, row('in-its-turn')));
        const alone = door.statement((tx) =>
          execute(tx, 'UPDATE users SET scopes = ? WHERE id = ?', ['in-its-turn', 'in-its-turn']),
        );

        expect((await app.fetch('/health/live')).status).toBe(200);
        other.exec('COMMIT');

        await waiting;
        expect(await alone).toBe(1);
      });

      it('gives up when the time of the request is over, and goes on with the next as if nothing had been', async () => {
        const late = withBudget(50, () => door.run((tx) => tx.insert(User, row('out-of-turn'))));

        await expect(late).rejects.toMatchObject({ code: 'service_unavailable' });
        other.exec('COMMIT');
        await door.run((tx) => tx.insert(User, row('next-in-turn')));

        expect([await exists('out-of-turn'), await exists('next-in-turn')]).toEqual([false, true]);
      });
    });
  }
});
