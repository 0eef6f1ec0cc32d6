import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { AuditTrail } from '../src/audit/audit-trail';
import { BATCH_SIZE, LEASE_SECONDS } from '../src/audit/audit-sealer';
import { BLANKED_AT_ONCE } from '../src/audit/chained-events';
import { EventSeal } from '../src/audit/event-seal';
import { Ids } from '../src/core/ids';
import { currentBudget } from '../src/core/request-budget';
import { SystemRandom } from '../src/core/random';
import { LONGEST_TRANSACTION_MS } from '../src/database/transactions';
import { MASTER_SECRET, newSecret, startApp, type TestApp } from './support/app';
import { sealByHand, sealerBeside, verify } from './support/audit';
import { gate } from './support/gate';
import { newcomer, signUp } from './support/people';
import { TestClock } from './support/test-clock';

const ORIGIN = { ip: '203.0.113.7', userAgent: 'a client', requestId: 'req_of_a_test' };

let app: TestApp;
beforeEach(async () => {
  app = await startApp();
  await sealByHand(app);
});
afterEach(() => app.close());

/** Has so many events recorded, each in a transaction of its own. */
const recordEvents = async (count: number, trail = app.nest.get(AuditTrail)): Promise<void> => {
  for (let done = 0; done < count; done += 1) {
    await app.inDatabase((tx) =>
      trail.record(tx, { type: 'account_enabled', userId: 'user_of_a_test' }, ORIGIN),
    );
  }
};

const sequences = async (): Promise<(number | null)[]> => {
  const rows = await app.rows<{ sequence: string | number | null }>(
    'SELECT sequence FROM audit_events ORDER BY sequence, id',
  );
  return rows.map(({ sequence }) => (sequence === null ? null : Number(sequence)));
};

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

/** Passes as often as told, then stops whoever comes. */
const dies = () => Promise.reject(new Error('killed'));

describe('sealing', () => {
  it('gives recorded events their places without gaps, batch after batch', async () => {
    await recordEvents(2 * BATCH_SIZE + 7);

    const sealed = await sealerBeside(app).sealAll();

    expect(sealed).toBe(2 * BATCH_SIZE + 7);
    expect(await sequences()).toEqual(upTo(sealed));
    expect(await verify(app)).toMatchObject({ intact: true, verified: sealed, unsealed: 0 });
  });

  it('is done by the server itself in time: within ten seconds', async () => {
    await app.restart();
    await recordEvents(3);

    const deadline = performance.now() + 10_000;
    while ((await sequences()).includes(null)) {
      expect(performance.now()).toBeLessThan(deadline);
      await new Promise((resolve) => setImmediate(resolve));
    }

    expect(await verify(app)).toMatchObject({ intact: true, verified: 3 });
  });

  it('of what the last moment brought is done before the server stops', async () => {
    await app.restart();
    await recordEvents(BATCH_SIZE + 3);

    await app.restart();

    expect(await sequences()).toEqual(upTo(BATCH_SIZE + 3));
  });

  it('keeps nobody from stopping for longer than a second', async () => {
    await recordEvents(2 * BATCH_SIZE);
    const sealer = sealerBeside(app, { 'seal:committed': () => Promise.resolve(app.clock.push(1)) });
    sealer.start();

    await sealer.onApplicationShutdown();

    expect(await verify(app)).toMatchObject({ intact: true, verified: BATCH_SIZE, unsealed: BATCH_SIZE });
  });

  it('keeps nobody from stopping when it hangs in its transaction either, and has sealed nothing then', async () => {
    await recordEvents(3);
    const [entered, leave] = [gate(), gate()];
    let given: number | undefined;
    const sealer = sealerBeside(app, {
      'seal:rows_sealed': () => {
        given = currentBudget()?.left;
        entered.open();
        return leave.opened;
      },
    });
    sealer.start();

    const stopped = sealer.onApplicationShutdown();
    await entered.opened;
    // Nobody lets it go on before the stop is over, which waits for no unit of work as long as others would.
    const first = await Promise.race([
      stopped.then(() => 'stopped'),
      delay(LONGEST_TRANSACTION_MS, 'out of time', { ref: false }),
    ]);
    leave.open();

    expect([first, given]).toEqual(['stopped', expect.any(Number)]);
    expect(given).toBeLessThanOrEqual(1_000);
    expect(await sequences()).toEqual([null, null, null]);
    expect(await verify(app)).toMatchObject({ intact: true, verified: 0, unsealed: 3 });
  });

  it('is left to the one that holds the lease, until the lease lapses', async () => {
    await recordEvents(3);
    const entered = gate();
    const leave = gate();
    const stuck = sealerBeside(app, {
      'seal:lease_taken': () => {
        entered.open();
        return leave.opened;
      },
    });
    const other = sealerBeside(app);

    const late = stuck.sealAll();
    await entered.opened;
    const meanwhile = await other.sealAll();
    app.clock.advance(LEASE_SECONDS);
    const afterwards = await other.sealAll();
    await recordEvents(2);
    leave.open();

    expect([meanwhile, afterwards, await late]).toEqual([0, 3, 0]);
    expect(await verify(app)).toMatchObject({ intact: true, verified: 3, unsealed: 2 });
  });

  it('is taken over at once from one that has stopped cleanly', async () => {
    await recordEvents(3);
    const stopped = sealerBeside(app);
    expect(await stopped.sealAll()).toBe(3);
    await recordEvents(2);
    const next = sealerBeside(app);
    expect(await next.sealAll()).toBe(0);

    await stopped.onApplicationShutdown();

    expect(await next.sealAll()).toBe(2);
    // Not by one that holds none: then it would be taken from whoever does.
    await stopped.onApplicationShutdown();
    await recordEvents(1);
    expect(await sealerBeside(app).sealAll()).toBe(0);
  });

  it('does not fork the chain when two are at it at once, whatever their clocks say', async () => {
    await recordEvents(5);
    const entered = gate();
    const leave = gate();
    const first = sealerBeside(app, {
      'seal:rows_sealed': () => {
        entered.open();
        return leave.opened;
      },
    });
    const second = sealerBeside(app);

    const one = first.sealAll();
    await entered.opened;
    app.clock.advance(LEASE_SECONDS);
    const two = second.sealAll();
    leave.open();

    expect((await one) + (await two)).toBe(5);
    await recordEvents(2);
    app.clock.advance(LEASE_SECONDS);
    expect(await second.sealAll()).toBe(2);
    expect(await sequences()).toEqual(upTo(7));
    expect(await verify(app)).toMatchObject({ intact: true, verified: 7 });
  });

  it('does not wait for a lease from a clock that was ahead', async () => {
    await recordEvents(1);
    app.clock.advance(24 * 3600);
    await sealerBeside(app).sealAll();
    app.clock.advance(-24 * 3600);
    await recordEvents(1);

    expect(await sealerBeside(app).sealAll()).toBe(1);
  });

  it.each(['seal:lease_taken', 'seal:rows_sealed', 'seal:committed'] as const)(
    'leaves nothing half done when it is killed at %s',
    async (place) => {
      await recordEvents(BATCH_SIZE + 1);
      await expect(sealerBeside(app, { [place]: dies }).sealAll()).rejects.toThrow('killed');
      const done = place === 'seal:committed' ? BATCH_SIZE : 0;

      expect((await sequences()).filter((sequence) => sequence !== null)).toEqual(upTo(done));
      expect(await verify(app)).toMatchObject({ intact: true, verified: done });
      const survivor = sealerBeside(app);
      expect(await survivor.sealAll()).toBe(0);
      app.clock.advance(LEASE_SECONDS);
      expect(await survivor.sealAll()).toBe(BATCH_SIZE + 1 - done);
      expect(await verify(app)).toMatchObject({ intact: true, verified: BATCH_SIZE + 1, unsealed: 0 });
    },
  );

  it('misses nothing that is recorded while it is at work', async () => {
    const sealers = [sealerBeside(app), sealerBeside(app)];
    let recording = true;

    const records = Promise.all([recordEvents(150), recordEvents(150), recordEvents(150)]).then(
      () => (recording = false),
    );
    const seals = sealers.map(async (sealer) => {
      while (recording) await sealer.sealAll();
    });
    await Promise.all([records, ...seals]);
    for (const sealer of sealers) await sealer.sealAll();

    expect(await sequences()).toEqual(upTo(450));
    expect(await verify(app)).toMatchObject({ intact: true, verified: 450, unsealed: 0 });
  });

  it('seals an event that commits late, behind those with later ids', async () => {
    const earlier = new TestClock();
    const random = new SystemRandom();
    const late = new AuditTrail(earlier, new Ids(earlier, random), random, app.nest.get(EventSeal));
    app.clock.advance(1);
    await recordEvents(2);
    await sealerBeside(app).sealAll();

    await recordEvents(1, late);
    app.clock.advance(LEASE_SECONDS);
    await sealerBeside(app).sealAll();

    const rows = await app.rows<{ sequence: string }>('SELECT sequence FROM audit_events ORDER BY id');
    expect(rows.map(({ sequence }) => Number(sequence))).toEqual([3, 1, 2]);
    expect(await verify(app)).toMatchObject({ intact: true, verified: 3 });
  });

  it('takes in what an older release writes, and says which those are', async () => {
    await recordEvents(1);
    await app.inDatabase((tx) =>
      tx.query(
        `INSERT INTO audit_events (id, occurred_at, type, user_id, credential_id, ip, request_id)
         VALUES ('evt_00000000000000000000000000', '2026-01-02 03:04:05.678', 'signed_in', 'user_1', 'sess_1', '::1', 'req_1')`,
      ),
    );
    await recordEvents(1);

    expect(await verify(app)).toMatchObject({ intact: true, verified: 0, unsealed: 3 });
    await sealerBeside(app).sealAll();

    expect(await verify(app)).toMatchObject({
      intact: true,
      verified: 3,
      adopted: { count: 1, lastSequence: 1 },
    });
  });

  it('goes on with a new master secret, and the old links hold while the old one is known', async () => {
    await app.close();
    app = await startApp({ AUTH_SECRET: MASTER_SECRET });
    await sealByHand(app);
    await recordEvents(2);
    await sealerBeside(app).sealAll();
    const fresh = newSecret();

    await app.restart({ AUTH_SECRET: fresh, AUTH_SECRET_PREVIOUS: MASTER_SECRET });
    await sealByHand(app);
    app.clock.advance(LEASE_SECONDS);
    await recordEvents(2);
    await sealerBeside(app).sealAll();
    const whileKnown = await verify(app);
    const [, second] = await app.rows<{ link: string }>('SELECT link FROM audit_events ORDER BY sequence');
    await app.restart({ AUTH_SECRET: fresh });

    expect(whileKnown).toMatchObject({ intact: true, verified: 4 });
    expect(await verify(app)).toMatchObject({ intact: false, fault: { kind: 'altered', sequence: 1 } });
    const after = { sequence: 2, link: second?.link ?? '' };
    expect(await verify(app, { after })).toMatchObject({ intact: true, verified: 2 });
  });

  it('tries again in time after trouble, and says so once', async () => {
    await app.inDatabase((tx) => tx.query('ALTER TABLE audit_chain RENAME TO audit_chain_hidden'));
    await recordEvents(1);
    await app.restart();
    const complaints = () => app.logged.filter(({ msg }) => String(msg).includes('cannot be sealed'));
    const until = async (done: () => boolean | Promise<boolean>) => {
      const deadline = performance.now() + 10_000;
      while (!(await done())) {
        expect(performance.now()).toBeLessThan(deadline);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };

    await until(() => complaints().length > 0);
    await app.inDatabase((tx) => tx.query('ALTER TABLE audit_chain_hidden RENAME TO audit_chain'));
    await until(async () => !(await sequences()).includes(null));

    expect(complaints()).toHaveLength(1);
  });
});

type Row = Record<string, string | number | Date | null>;

/** The table as the engine has it, to be put back as it was. */
const snapshot = () => app.rows<Row>('SELECT * FROM audit_events');

const run = (sql: string, values: unknown[] = []): Promise<unknown> =>
  app.inDatabase((tx) => tx.query(sql, values));

const insert = (row: Row): Promise<unknown> =>
  run(
    `INSERT INTO audit_events (${Object.keys(row).join(', ')}) VALUES (${Object.keys(row)
      .map(() => '?')
      .join(', ')})`,
    Object.values(row),
  );

const rowAt = async (sequence: number): Promise<Row> => {
  const [row] = await app.rows<Row>('SELECT * FROM audit_events WHERE sequence = ?', [sequence]);
  if (!row) throw new Error(`There is no event ${sequence}`);
  return row;
};

const set = (sequence: number, column: string, value: string | number | null) =>
  run(`UPDATE audit_events SET ${column} = ? WHERE sequence = ?`, [value, sequence]);

const swap = async (columns: string): Promise<void> => {
  const [third, fourth] = [await rowAt(3), await rowAt(4)];
  for (const [to, from] of [
    [third, fourth],
    [fourth, third],
  ] as const) {
    for (const column of columns.split(' '))
      await run(`UPDATE audit_events SET ${column} = ? WHERE id = ?`, [from[column], to['id']]);
  }
};

const forged = async (row: Row) =>
  insert({ ...(await rowAt(3)), id: 'evt_zzzzzzzzzzzzzzzzzzzzzzzzzz', ...row });

const setHead = async (sequence: number): Promise<unknown> =>
  run('UPDATE audit_chain SET sequence = ?, link = ?', [sequence, (await rowAt(sequence))['link']]);

describe('a trail that was tampered with', () => {
  it.each<[string, string, number | null, () => Promise<unknown>]>([
    ['the first event deleted', 'missing', 1, () => run('DELETE FROM audit_events WHERE sequence = 1')],
    ['one in the middle deleted', 'missing', 3, () => run('DELETE FROM audit_events WHERE sequence = 3')],
    ['two in exchanged places', 'altered', 3, () => swap('sequence')],
    ['two exchanged with their links', 'altered', 3, () => swap('sequence link')],
    ['another id', 'altered', 3, () => set(3, 'id', 'evt_zzzzzzzzzzzzzzzzzzzzzzzzzz')],
    ['another time', 'altered', 3, () => set(3, 'occurred_at', '2026-01-02 03:04:05.678')],
    ['another type', 'altered', 3, () => set(3, 'type', 'signed_in')],
    ['another reason', 'altered', 3, () => set(3, 'reason', 'session_limit')],
    ['another account', 'altered', 3, () => set(3, 'user_id', 'user_2')],
    ['another credential', 'altered', 3, () => set(3, 'credential_id', 'sess_2')],
    ['another digest', 'altered', 3, () => set(3, 'digest', '0'.repeat(64))],
    ['no digest', 'altered', 3, () => set(3, 'digest', null)],
    ['another link', 'altered', 3, () => set(3, 'link', '0'.repeat(64))],
    ['no link', 'altered', 3, () => set(3, 'link', null)],
    ['another address', 'details_altered', 3, () => set(3, 'ip', '203.0.113.8')],
    ['another client', 'details_altered', 3, () => set(3, 'user_agent', 'another client')],
    ['another request', 'details_altered', 3, () => set(3, 'request_id', 'req_2')],
    ['another salt', 'details_altered', 3, () => set(3, 'salt', '0'.repeat(32))],
    [
      'details blanked though the account lives',
      'details_altered',
      3,
      () =>
        run(
          "UPDATE audit_events SET ip = '', user_agent = NULL, request_id = '', salt = NULL WHERE sequence = 3",
        ),
    ],
    ['a forged event in a place that is taken', 'out_of_place', 3, () => forged({})],
    ['a forged event before the first', 'out_of_place', 0, () => forged({ sequence: 0 })],
    ['a forged event at the end', 'altered', 6, () => forged({ sequence: 6 })],
    ['a place taken out of the chain', 'missing', 3, () => set(3, 'sequence', null)],
    ['the last event deleted', 'tail_missing', 5, () => run('DELETE FROM audit_events WHERE sequence = 5')],
    ['the head set back', 'head_set_back', 4, () => setHead(4)],
    ['a forged event that waits to be sealed', 'altered', null, () => forged({ sequence: null, link: null })],
  ])('is found out: %s', async (_, kind, sequence, tamper) => {
    await recordEvents(5);
    await sealerBeside(app).sealAll();
    expect(await verify(app)).toMatchObject({ intact: true, verified: 5 });
    const before = await snapshot();

    await tamper();
    const verdict = await verify(app);

    expect(verdict).toMatchObject({ intact: false, fault: { kind, sequence } });
    expect(verdict.fault?.message).toContain(sequence === null ? 'evt_zzz' : `number ${sequence}`);
    await run('DELETE FROM audit_events');
    for (const row of before) await insert(row);
    await setHead(5);
    expect(await verify(app)).toMatchObject({ intact: true, verified: 5 });
  });

  it('names the first event that is wrong, also far behind the first page', async () => {
    await recordEvents(1203);
    await sealerBeside(app).sealAll();
    expect(await verify(app)).toMatchObject({ intact: true, verified: 1203 });

    await set(1100, 'type', 'signed_in');
    await set(1150, 'type', 'signed_in');

    expect(await verify(app)).toMatchObject({ verified: 1099, fault: { kind: 'altered', sequence: 1100 } });
  });

  it('cannot have an event slipped in that looks like one of a deleted account', async () => {
    await recordEvents(2);
    await sealerBeside(app).sealAll();

    const last = await rowAt(2);
    await insert({
      ...{
        ...last,
        id: 'evt_zzzzzzzzzzzzzzzzzzzzzzzzzz',
        type: 'account_deleted',
        sequence: null,
        link: null,
      },
      ...{ ip: '', user_agent: null, request_id: '', salt: null },
    });
    app.clock.advance(LEASE_SECONDS);
    await sealerBeside(app).sealAll();

    expect(await verify(app)).toMatchObject({ fault: { kind: 'doubtful', sequence: 3 } });
    expect(app.logged.filter(({ msg }) => String(msg).includes('altered before it was sealed'))).toHaveLength(
      1,
    );
  });

  it('with its tail cut off and its head set back is found out by an exported head', async () => {
    await recordEvents(5);
    await sealerBeside(app).sealAll();
    const { head } = await verify(app);

    await run('DELETE FROM audit_events WHERE sequence > 3');
    await setHead(3);

    expect(await verify(app)).toMatchObject({ intact: true, verified: 3 });
    expect(await verify(app, { head })).toMatchObject({ fault: { kind: 'tail_missing', sequence: 4 } });
    app.clock.advance(LEASE_SECONDS);
    await recordEvents(4);
    await sealerBeside(app).sealAll();
    expect(await verify(app)).toMatchObject({ intact: true, verified: 7 });
    expect(await verify(app, { head })).toMatchObject({ fault: { kind: 'head_replaced', sequence: 5 } });
  });

  it('is verified from a head on, when what lies before was pruned', async () => {
    await recordEvents(5);
    await sealerBeside(app).sealAll();
    const after = { sequence: 3, link: String((await rowAt(3))['link']) };

    await run('DELETE FROM audit_events WHERE sequence <= 3');

    expect(await verify(app)).toMatchObject({ fault: { kind: 'missing', sequence: 1 } });
    expect(await verify(app, { after })).toMatchObject({ intact: true, verified: 2, head: { sequence: 5 } });
    expect(await verify(app, { after: { ...after, link: '0'.repeat(64) } })).toMatchObject({
      fault: { kind: 'altered', sequence: 4 },
    });
  });
});

describe('the trail of a deleted account', () => {
  const details = (userId: string) =>
    app.rows('SELECT DISTINCT ip, user_agent, request_id, salt FROM audit_events WHERE user_id = ?', [
      userId,
    ]);
  const BLANK = { ip: '', user_agent: null, request_id: '', salt: null };
  const remove = ({ token, password }: { token: string; password: string }) =>
    app.call('DELETE', '/users/me', { token, body: { password } });

  it('loses its details, and the chain holds', async () => {
    const person = await newcomer(app);
    const other = await signUp(app);
    await sealerBeside(app).sealAll();

    await remove(person);
    const sealedBefore = await app.rows<Row>(
      'SELECT ip, user_agent, request_id, salt FROM audit_events WHERE user_id = ? AND sequence IS NOT NULL',
      [person.id],
    );
    app.clock.advance(LEASE_SECONDS);
    await sealerBeside(app).sealAll();

    expect(sealedBefore).toEqual([BLANK, BLANK]);
    expect(await details(person.id)).toEqual([BLANK]);
    expect(await details(other.id)).toEqual([expect.objectContaining({ ip: '127.0.0.1' })]);
    expect(await verify(app)).toMatchObject({ intact: true, verified: 4, unsealed: 0 });
  });

  it('loses them also when it was not sealed yet, as soon as it is', async () => {
    const person = await newcomer(app);

    await remove(person);
    expect(await verify(app)).toMatchObject({ intact: true, unsealed: 3 });
    await sealerBeside(app).sealAll();

    expect(await details(person.id)).toEqual([BLANK]);
    expect(await verify(app)).toMatchObject({ intact: true, verified: 3 });
  });

  it('loses them also when an older release deleted it', async () => {
    const person = await newcomer(app);
    await sealerBeside(app).sealAll();
    await run('DELETE FROM users WHERE id = ?', [person.id]);
    await app.inDatabase((tx) =>
      tx.query(
        `INSERT INTO audit_events (id, occurred_at, type, user_id, credential_id, ip, request_id)
         VALUES ('evt_zzzzzzzzzzzzzzzzzzzzzzzzzz', '2026-03-14 09:26:53.589', 'account_deleted', ?, NULL, '::1', 'req_1')`,
        [person.id],
      ),
    );

    app.clock.advance(LEASE_SECONDS);
    await sealerBeside(app).sealAll();

    expect(await details(person.id)).toEqual([BLANK]);
    expect(await verify(app)).toMatchObject({ intact: true, verified: 3, adopted: { count: 1 } });
  });

  it('keeps its details when the account is still there, whatever somebody slipped in', async () => {
    const person = await newcomer(app);
    await app.inDatabase((tx) =>
      tx.query(
        `INSERT INTO audit_events (id, occurred_at, type, user_id, credential_id, ip, request_id)
         VALUES ('evt_zzzzzzzzzzzzzzzzzzzzzzzzzz', '2026-03-14 09:26:53.589', 'account_deleted', ?, NULL, '::1', 'req_1')`,
        [person.id],
      ),
    );
    await sealerBeside(app).sealAll();

    expect(await details(person.id)).not.toContainEqual(BLANK);
    await run("UPDATE audit_events SET ip = '', user_agent = NULL, request_id = '', salt = NULL");
    expect(await verify(app)).toMatchObject({ fault: { kind: 'details_altered', sequence: 1 } });
  });

  describe('with more events than are blanked at a time', () => {
    const COUNT = 4 * BLANKED_AT_ONCE;

    /** Somebody with so many sealed events, who has deleted the account. */
    const leaver = async (): Promise<string> => {
      const person = await newcomer(app);
      const event = { type: 'account_enabled', userId: person.id } as const;
      const half = Array.from({ length: COUNT / 2 }, () => event);
      for (const events of [half, half])
        await app.inDatabase((tx) => app.nest.get(AuditTrail).recordAll(tx, events, ORIGIN));
      await sealerBeside(app).sealAll();
      await remove(person);
      return person.id;
    };

    const withDetails = async (userId: string): Promise<number> => {
      const rows = await app.rows('SELECT id FROM audit_events WHERE user_id = ? AND salt IS NOT NULL', [
        userId,
      ]);
      return rows.length;
    };

    it('is deleted with a bounded number of them blanked, and loses the others batch by batch; the chain holds all the while', async () => {
      const userId = await leaver();
      const atFirst = await withDetails(userId);
      app.clock.advance(LEASE_SECONDS);
      const left: number[] = [];
      const sealer = sealerBeside(app, {
        'seal:committed': async () => {
          left.push(await withDetails(userId));
          expect(await verify(app)).toMatchObject({ intact: true });
        },
      });

      await sealer.sealAll();

      // Sign-up, sign-in and the deletion itself are events as well.
      expect(atFirst).toBe(COUNT + 3 - BLANKED_AT_ONCE);
      const steps = [atFirst, ...left].map((count, index, all) => (all[index - 1] ?? count) - count);
      expect(Math.max(...steps)).toBe(BLANKED_AT_ONCE);
      expect(left.at(-1)).toBe(0);
      expect(await verify(app)).toMatchObject({ intact: true, verified: COUNT + 3, unsealed: 0 });
    });

    it('holds up neither the seal of others nor their deletion', async () => {
      const userId = await leaver();
      const other = await newcomer(app);
      await remove(other);
      app.clock.advance(LEASE_SECONDS);
      let batches = 0;
      const sealer = sealerBeside(app, {
        'seal:committed': () => ((batches += 1) === 2 ? dies() : Promise.resolve()),
      });

      await expect(sealer.sealAll()).rejects.toThrow('killed');

      expect(await withDetails(userId)).toBeGreaterThan(BLANKED_AT_ONCE);
      expect(await details(other.id)).toEqual([BLANK]);
      expect(await verify(app)).toMatchObject({ intact: true, verified: COUNT + 2 + 3, unsealed: 1 });
    });

    it('loses them by another sealer when the one at work was killed', async () => {
      const userId = await leaver();
      app.clock.advance(LEASE_SECONDS);
      await expect(sealerBeside(app, { 'seal:committed': dies }).sealAll()).rejects.toThrow('killed');
      const between = await withDetails(userId);
      expect(await verify(app)).toMatchObject({ intact: true, unsealed: 1 });

      app.clock.advance(LEASE_SECONDS);
      await sealerBeside(app).sealAll();

      expect(between).toBeGreaterThan(0);
      expect(await withDetails(userId)).toBe(0);
      expect(await verify(app)).toMatchObject({ intact: true, verified: COUNT + 3, unsealed: 0 });
    });

    it('skips none of them when a batch is undone', async () => {
      const userId = await leaver();
      app.clock.advance(LEASE_SECONDS);
      let batches = 0;
      const sealer = sealerBeside(app, {
        'seal:rows_sealed': () => ((batches += 1) === 2 ? dies() : Promise.resolve()),
      });
      await expect(sealer.sealAll()).rejects.toThrow('killed');

      await sealer.sealAll();

      expect(await withDetails(userId)).toBe(0);
    });
  });

  it('is still found out when somebody tampers with it', async () => {
    const person = await newcomer(app);
    await remove(person);
    await sealerBeside(app).sealAll();

    await set(2, 'ip', '203.0.113.8');

    expect(await verify(app)).toMatchObject({ fault: { kind: 'details_altered', sequence: 2 } });
  });
});

describe('recording', () => {
  it('takes part in the transaction of what it tells of', async () => {
    const trail = app.nest.get(AuditTrail);

    const failing = app.inDatabase(async (tx) => {
      await trail.record(tx, { type: 'account_enabled', userId: 'user_of_a_test' }, ORIGIN);
      throw new Error('undone');
    });

    await expect(failing).rejects.toThrow('undone');
    expect(await sequences()).toEqual([]);
  });

  it('has indexes for the questions that are asked of it', async () => {
    const explain = async (sql: string, values: unknown[]): Promise<string> => {
      const sqlite = app.nest.get(DataSource).options.type === 'better-sqlite3';
      return JSON.stringify(await app.rows(`EXPLAIN ${sqlite ? 'QUERY PLAN ' : ''}${sql}`, values));
    };
    await recordEvents(300);

    const history = await explain(
      'SELECT * FROM audit_events WHERE user_id = ? AND id < ? ORDER BY id DESC LIMIT 51',
      ['user_1', 'evt_1'],
    );
    const page = await explain(
      'SELECT id FROM audit_events WHERE user_id = ? AND id > ? ORDER BY id LIMIT 200',
      ['user_1', 'evt_1'],
    );
    const blanking = await explain(
      `UPDATE audit_events SET ip = '', user_agent = NULL, request_id = '', salt = NULL
       WHERE user_id = ? AND id > ? AND id <= ? AND sequence IS NOT NULL AND salt IS NOT NULL`,
      ['user_1', 'evt_1', 'evt_2'],
    );
    const deletion = await explain(
      "SELECT id FROM audit_events WHERE user_id = ? AND type = 'account_deleted' ORDER BY id DESC LIMIT 1",
      ['user_1'],
    );
    const waiting = await explain(
      "SELECT * FROM audit_events WHERE sequence IS NULL AND type = 'account_deleted' AND id > ? ORDER BY id LIMIT 1",
      [''],
    );
    const unsealed = await explain(
      'SELECT id FROM audit_events WHERE sequence IS NULL ORDER BY id LIMIT 1',
      [],
    );

    const byUser = [history, page, blanking, deletion];
    for (const plan of byUser) expect(plan).toContain('ix_audit_events_user');
    for (const plan of [unsealed, waiting]) expect(plan).toContain('ix_audit_events_chain');
    for (const plan of [...byUser, unsealed, waiting])
      expect(plan).not.toMatch(/TEMP B-TREE|filesort|SCAN audit/i);
  });
});
