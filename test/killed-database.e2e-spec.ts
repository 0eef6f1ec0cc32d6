import { setTimeout as delay } from 'node:timers/promises';
import * as fc from 'fast-check';
import { BusyCustomer, type Outcome } from './support/busy-customer';
import { createMysqlDatabase, type TestDatabase } from './support/database';
import { BELIEVING } from './support/fresh-address';
import { gate } from './support/gate';
import { halfDone } from './support/half-done';
import { MariadbServer } from './support/mariadb-server';
import { type Program, settingsFor, startServer } from './support/server-process';
import { FAULTS_SEED, faultRounds, longFaults } from './support/thoroughness';

const ROUNDS = faultRounds(20, 60);

const CUSTOMERS = 6;

/** Milliseconds from the first answer until the database is killed, and until it is started again: anywhere in between. */
const KILLED_AFTER = { min: 0, max: 1_500 };
const AWAY_FOR = { min: 0, max: 3_000 };

/** Milliseconds within which an answer must have come that says that something is wrong. */
const ERROR_MS = 1_000;

/** Milliseconds after the database takes connections again, within which the service is ready. */
const HEALTHY_MS = 2_000;

/** Milliseconds that a machine adds on which everything else is tested at the same time, as it is not in the long run. */
const BUSY_MACHINE_MS = longFaults ? 0 : 500;

describe('a database that is killed and started again under load', () => {
  let mariadb: MariadbServer;
  let database: TestDatabase;
  let server: Program & { url: string };
  /** Milliseconds until it was healthy again, and calls that were told of an error. */
  const [recoveries, errors]: [number[], Outcome[]] = [[], []];
  beforeAll(async () => {
    mariadb = await MariadbServer.create();
    database = await createMysqlDatabase(mariadb.url);
    server = await startServer(settingsFor(database, BELIEVING));
  }, 60_000);
  afterAll(async () => {
    server.signal('SIGTERM');
    await server.exit();
    await mariadb.remove();
  });

  /** @returns milliseconds until `/health/ready` is 200 */
  const untilHealthy = async (): Promise<number> => {
    const begun = performance.now();
    while ((await fetch(`${server.url}/health/ready`)).status !== 200) await delay(10);
    return performance.now() - begun;
  };

  it(
    `costs nothing that was acknowledged and no session in ${ROUNDS} rounds`,
    async () => {
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
      const moments = fc.sample(fc.record({ kill: fc.integer(KILLED_AFTER), away: fc.integer(AWAY_FOR) }), {
        seed: FAULTS_SEED,
        numRuns: ROUNDS,
      });
      let acknowledged = 0;

      for (const { kill, away } of moments) {
        let over = false;
        underWay = gate();
        const lives = customers.map((customer) => customer.live(() => over));
        await underWay.opened;
        await delay(kill);
        await mariadb.stop('SIGKILL');
        await delay(away);
        await mariadb.start();
        recoveries.push(await untilHealthy());
        over = true;
        await Promise.all(lives);

        expect(customers.flatMap(({ falseRefusals }) => falseRefusals)).toEqual([]);
        // The service was there all the time: everybody has an answer.
        const outcomes = customers.flatMap((customer) => customer.outcomes);
        expect(outcomes.filter(({ status }) => status === 0)).toEqual([]);
        errors.push(...outcomes.filter(({ status }) => status >= 500));
        acknowledged += customers.reduce((sum, customer) => sum + customer.acknowledged, 0);
        expect(await halfDone(database)).toEqual([]);
        for (const customer of customers) expect(await customer.losses(database)).toEqual([]);
      }

      expect(acknowledged).toBeGreaterThan(2 * ROUNDS);
      if (longFaults) {
        const slowest = Math.max(...errors.map(({ milliseconds }) => milliseconds));
        const last = Math.round(Math.max(...recoveries));
        process.stderr.write(
          `${ROUNDS} kills, seed ${FAULTS_SEED}: ${acknowledged} acknowledged, ${errors.length} errors, the slowest after ${slowest} ms, healthy after ${last} ms at most\n`,
        );
      }
    },
    60_000 + ROUNDS * 30_000,
  );

  it('is told of and got over in time', () => {
    expect(recoveries).toHaveLength(ROUNDS);
    expect(errors.length).toBeGreaterThan(0);
    expect(errors.filter(({ milliseconds }) => milliseconds >= ERROR_MS + BUSY_MACHINE_MS)).toEqual([]);
    expect(Math.max(...recoveries)).toBeLessThan(HEALTHY_MS + BUSY_MACHINE_MS);
  });
});
