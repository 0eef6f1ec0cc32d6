import { setTimeout as delay } from 'node:timers/promises';
import * as fc from 'fast-check';
import { BusyCustomer } from './support/busy-customer';
import { createDatabase, onMysql, type TestDatabase } from './support/database';
import { BELIEVING } from './support/fresh-address';
import { gate } from './support/gate';
import { halfDone } from './support/half-done';
import { type Program, settingsFor, startServer } from './support/server-process';
import { FAULTS_SEED, faultRounds, longFaults } from './support/thoroughness';

const ROUNDS = faultRounds(20, 200);

const CUSTOMERS = 6;

/** Milliseconds from the first answer until the process is killed: anywhere in between. */
const KILLED_AFTER = { min: 0, max: 1_000 };

/** Milliseconds within which the process is ready again, counted from when the operating system was asked to start it. */
const READY_MS = 2_000;

/**
 * Milliseconds of an ordinary start beyond which a machine is too busy for that, and how many times as long one after a crash may
 * take there. Not in the long run.
 */
const SLOW_START_MS = 1_000;
const SLOW_MACHINE = 3;

describe('a service that is killed at any moment under load', () => {
  let database: TestDatabase;
  let server: Program & { url: string };
  /** What each start after a kill took, milliseconds. */
  const starts: number[] = [];
  beforeAll(async () => (database = await createDatabase()));
  afterAll(async () => {
    server.signal('SIGKILL');
    await server.exit();
    await database.drop();
  });

  /** @returns milliseconds until `/health/ready` is 200 */
  const start = async (): Promise<number> => {
    const begun = performance.now();
    server = await startServer(settingsFor(database, BELIEVING));
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
    return performance.now() - begun;
  };

  /** What a start takes on this machine that has no crash behind it. */
  const ordinaryStart = async (): Promise<number> => {
    await start();
    server.signal('SIGTERM');
    await server.exit();
    return start();
  };

  it(
    `has all that it acknowledged in ${ROUNDS} rounds, and is whole`,
    async () => {
      const moments = fc.sample(fc.integer(KILLED_AFTER), { seed: FAULTS_SEED, numRuns: ROUNDS });
      await start();
      let underWay = gate();
      const customers = Array.from(
        { length: CUSTOMERS },
        (_, index) =>
          new BusyCustomer(
            `customer-${index}`,
            () => server.url,
            () => underWay.open(),
          ),
      );
      let acknowledged = 0;

      for (const moment of moments) {
        let over = false;
        underWay = gate();
        const lives = customers.map((customer) => customer.live(() => over));
        await underWay.opened;
        await delay(moment);
        server.signal('SIGKILL');
        over = true;
        await Promise.all(lives);
        expect(await server.exit()).toBeNull();
        acknowledged += customers.reduce((sum, customer) => sum + customer.acknowledged, 0);
        expect(customers.flatMap(({ falseRefusals }) => falseRefusals)).toEqual([]);

        starts.push(await start());

        if (!onMysql) {
          expect(await database.rows('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
        }
        expect(await halfDone(database)).toEqual([]);
        for (const customer of customers) expect(await customer.losses(database)).toEqual([]);
      }

      expect(acknowledged).toBeGreaterThan(2 * ROUNDS);
      if (longFaults) {
        const slowest = Math.round(Math.max(...starts));
        process.stderr.write(
          `${ROUNDS} kills, seed ${FAULTS_SEED}: ${acknowledged} acknowledged, slowest start ${slowest} ms\n`,
        );
      }
    },
    60_000 + ROUNDS * 20_000,
  );

  it('is ready in time: within two seconds of each start', async () => {
    server.signal('SIGTERM');
    await server.exit();
    const ordinary = await ordinaryStart();
    const longest = !longFaults && ordinary > SLOW_START_MS ? SLOW_MACHINE * ordinary : READY_MS;

    expect(starts).toHaveLength(ROUNDS);
    expect(Math.max(...starts)).toBeLessThan(longest);
  });
});
