import { ApiError } from '../src/core/errors';
import { addSeconds } from '../src/core/instant';
import { LONGEST_TRANSACTION_MS, Transactions } from '../src/database/transactions';
import { ClockKeeper } from '../src/revocation/clock-keeper';
import { ReadWindow } from '../src/revocation/read-window';
import { RevocationFeed } from '../src/revocation/revocation-feed';
import { startApp, type TestApp } from './support/app';
import { holdConnections } from './support/connections';
import { newcomer, sessionIdOf, statusWith } from './support/people';
import { type Statement, statementsDuring } from './support/statements';

describe('what is known of a revocation', () => {
  let app: TestApp;
  beforeEach(async () => (app = await startApp({ ACCESS_TOKEN_TTL: '60' })));
  afterEach(() => app.close());

  const remembered = () => app.nest.get(RevocationFeed).remembered;

  /** Lets a poll come round that also tidies up. */
  const poll = async () => {
    app.clock.push(11);
    await app.nest.get(RevocationFeed).poll();
  };

  /** Lets polls come round for so many seconds. */
  const pollFor = async (seconds: number) => {
    for (let second = 0; second < seconds; second += 1) {
      app.clock.push(1);
      await app.nest.get(RevocationFeed).poll();
    }
  };

  it('is forgotten by the memory when the last token concerned has expired', async () => {
    const people = [await newcomer(app), await newcomer(app), await newcomer(app)];
    for (const { token } of people) await app.call('POST', '/auth/logout', { token });

    // A minute for the token, ten seconds in which a repeated refresh may hand out another one.
    app.clock.advance(69);
    await poll();
    expect(remembered()).toBe(3);

    app.clock.advance(1);
    await poll();
    expect(remembered()).toBe(0);
  });

  it('is not read again once it has been forgotten', async () => {
    const { token } = await newcomer(app);
    await app.call('POST', '/auth/logout', { token });
    app.clock.advance(70);

    await app.restart();

    expect(remembered()).toBe(0);
  });

  it('holds for as long as a token may be valid though the setting has been lowered since', async () => {
    await app.restart({ ACCESS_TOKEN_TTL: '3600' });
    const person = await newcomer(app);
    await app.call('POST', '/auth/logout', { token: person.token });
    await app.restart({ ACCESS_TOKEN_TTL: '1' });

    app.clock.advance(3599);
    await poll();

    expect(await statusWith(app, person)).toBe(401);
    expect(remembered()).toBe(1);
  });

  it('is learned though its line is committed late, behind one that was read already', async () => {
    const [early, late] = [await newcomer(app), await newcomer(app)];
    await app.call('POST', '/auth/logout', { token: early.token });
    await app.nest.get(RevocationFeed).poll();
    // As another instance does it: positions are given in the order of insertions, and commits come in any.
    const commit = async (position: number, subjectId: string) => {
      const line = { position, subject: 'session', subjectId, expiresAt: addSeconds(app.clock.now(), 3600) };
      await app.inDatabase((tx) => tx.insert('RevocationEntry', line));
      await app.nest.get(RevocationFeed).poll();
    };
    // From now on not everything is read again, but what is new and what may come late.
    await pollFor(16);
    const [{ position } = { position: 0 }] = await app.rows<{ position: number }>(
      'SELECT MAX(position) AS position FROM revocation_entries',
    );

    await commit(Number(position) + 2, 'sess_of_somebody_else');
    app.clock.push(LONGEST_TRANSACTION_MS / 1000);
    const before = await statusWith(app, late);
    await commit(Number(position) + 1, sessionIdOf(late));

    expect(before).toBe(200);
    const { status, headers } = await app.call('GET', '/users/me', { token: late.token });
    expect([status, headers.get('x-error-code')]).toEqual([401, 'token_revoked']);
  });

  it('is learned though its line was committed while the process stood still', async () => {
    const [early, late] = [await newcomer(app), await newcomer(app)];
    await app.call('POST', '/auth/logout', { token: early.token });
    const feed = app.nest.get(RevocationFeed);
    await pollFor(16);
    const [{ position } = { position: 0 }] = await app.rows<{ position: number }>(
      'SELECT MAX(position) AS position FROM revocation_entries',
    );
    const commit = (behind: number, subjectId: string) =>
      app.inDatabase((tx) =>
        tx.insert('RevocationEntry', {
          position: Number(position) + behind,
          subject: 'session',
          subjectId,
          expiresAt: addSeconds(app.clock.now(), 3600),
        }),
      );
    await commit(2, 'sess_of_somebody_else');
    await feed.poll();

    await commit(1, sessionIdOf(late));
    app.clock.push(60);
    await feed.poll();

    const { status, headers } = await app.call('GET', '/users/me', { token: late.token });
    expect([status, headers.get('x-error-code')]).toEqual([401, 'token_revoked']);
  });

  it('is read once, and counted from then on, however many there are', async () => {
    const expiresAt = addSeconds(app.clock.now(), 3600);
    const lines = Array.from({ length: 500 }, (_, n) => ({
      subject: 'session',
      subjectId: `sess_${n}`,
      expiresAt,
    }));
    await app.inDatabase((tx) => tx.insert('RevocationEntry', lines));
    const poll = () => app.nest.get(RevocationFeed).poll();
    /** The rows that a poll is answered with, the lines among them. */
    const polled = async (): Promise<number> => {
      const sent: Statement[] = await statementsDuring(app, poll);
      const rows = await Promise.all(
        sent.map(({ sql, values }) => app.rows<{ subject: string }>(sql, values)),
      );
      return rows.flat().filter(({ subject }) => subject === 'session').length;
    };

    await poll();
    const [again, later] = [await polled(), await polled()];
    await app.restart();
    const afterStart = await polled();

    expect([again, later, afterStart]).toEqual([0, 0, 0]);
    expect(remembered()).toBe(500);
  });

  it('is read page by page, however many there are', async () => {
    const feed = app.nest.get(RevocationFeed);
    const before = remembered();
    // From now on nobody polls but this test.
    await feed.onApplicationShutdown();
    const expiresAt = addSeconds(app.clock.now(), 3600);
    const lines = Array.from({ length: 10_001 }, (_, n) => ({
      subject: 'session',
      subjectId: `sess_of_${n}`,
      expiresAt,
    }));
    for (let first = 0; first < lines.length; first += 1_000) {
      const some = lines.slice(first, first + 1_000);
      await app.inDatabase((tx) => tx.insert('RevocationEntry', some));
    }

    const sent = await statementsDuring(app, () => feed.poll());
    const answers = await Promise.all(sent.map(({ sql, values }) => app.rows(sql, values)));

    expect(remembered()).toBe(before + 10_001);
    expect(Math.max(...answers.map(({ length }) => length))).toBe(5_000);
  });

  it('counts as known from when the database was asked, however long a poll waits for a connection', async () => {
    const feed = app.nest.get(RevocationFeed);
    await feed.onApplicationShutdown();
    const letGo = await holdConnections(app);
    const polled = feed.poll();
    app.clock.push(2);
    const whileWaiting = feed.isFresh;
    await letGo();
    await polled;

    expect([whileWaiting, feed.isFresh]).toEqual([false, true]);
  });

  it('is not read anew for ever where reading everything takes longer than polls may be apart', async () => {
    const feed = app.nest.get(RevocationFeed);
    await feed.onApplicationShutdown();
    const { token } = await newcomer(app);
    await app.call('POST', '/auth/logout', { token });
    await app.restart();
    const again = app.nest.get(RevocationFeed);
    await again.onApplicationShutdown();
    const door = app.nest.get(Transactions);
    const [readFirst, begun] = [door.readFirst.bind(door), app.clock.monotonic()];
    Object.assign(again, { window: new ReadWindow(), lastPoll: -Infinity });
    jest.spyOn(door, 'readFirst').mockImplementationOnce((work) => {
      app.clock.push(6);
      return readFirst(work);
    });
    const first = await statementsDuring(app, () => again.poll());
    app.clock.push(0.3);

    const second = await statementsDuring(app, () => again.poll());

    expect(app.clock.monotonic() - begun).toBeGreaterThan(6_000);
    expect([first.length, second.length]).toEqual([2, 1]);
    expect(again.isFresh).toBe(true);
  });

  it('is read anew as often as the clock moves, and forgets keys also where the rest cannot be read', async () => {
    const feed = app.nest.get(RevocationFeed);
    await feed.onApplicationShutdown();
    const gaps = jest.fn();
    feed.onGap(gaps);
    const note = jest
      .spyOn(app.nest.get(ClockKeeper), 'note')
      .mockReturnValueOnce(true)
      .mockReturnValueOnce(true);
    const readAnew = await statementsDuring(app, () => feed.poll());
    expect([note.mock.calls.length, gaps.mock.calls.length, feed.isFresh]).toEqual([3, 2, true]);
    expect(readAnew.length).toBeGreaterThanOrEqual(3);

    note.mockReturnValueOnce(true);
    const door = app.nest.get(Transactions);
    const readFirst = door.readFirst.bind(door);
    const broken = jest.spyOn(door, 'readFirst').mockImplementationOnce(async (work) => {
      await readFirst(work);
      throw new ApiError('service_unavailable');
    });
    await feed.poll();
    note.mockRestore();
    broken.mockRestore();
    expect(gaps).toHaveBeenCalledTimes(3);
  });
});
