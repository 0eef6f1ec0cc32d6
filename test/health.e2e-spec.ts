import { Drain } from '../src/http/drain';
import { Readiness } from '../src/health/readiness';
import { startApp, type TestApp } from './support/app';
import { statementsDuring } from './support/statements';
import { fragileDatabase, type FragileDatabase, outageNames } from './support/outages';

const check = async (app: TestApp, path: string) => {
  const response = await app.fetch(path);
  const code = response.headers.get('x-error-code');
  return [response.status, code, await response.json()];
};

const LIVE = [200, null, { status: 'ok' }];
const READY = [200, null, { status: 'ok' }];

describe('health', () => {
  let app: TestApp;
  beforeEach(async () => (app = await startApp()));
  afterEach(() => app.close());

  it('is alive and ready', async () => {
    expect(await check(app, '/health/live')).toEqual(LIVE);
    expect(await check(app, '/health/ready')).toEqual(READY);
  });

  it('looks into the database once for all who ask at the same time, and again for who asks later', async () => {
    const readiness = app.nest.get(Readiness);
    const ask = () => readiness.check();
    const looks = async (work: () => Promise<unknown>) =>
      (await statementsDuring(app, work)).filter(({ sql }) => sql.includes('FROM migrations')).length;

    expect(await looks(() => Promise.all(Array.from({ length: 200 }, ask)))).toBe(1);
    expect(await looks(ask)).toBe(1);
  });

  it('is not ready while migrations of this release are missing, and is when only others are there', async () => {
    const [last] = await app.rows<{ id: number; timestamp: string; name: string }>(
      'SELECT * FROM migrations ORDER BY id DESC LIMIT 1',
    );
    await app.rows('DELETE FROM migrations WHERE id = ?', [last?.id]);

    const without = await check(app, '/health/ready');
    for (const name of [last?.name, 'OfALaterRelease1999999999999']) {
      await app.rows('INSERT INTO migrations (timestamp, name) VALUES (?, ?)', [last?.timestamp, name]);
    }

    expect(without).toEqual([
      503,
      'migrations_pending',
      { error: 'Not ready: the database schema is older than the service' },
    ]);
    expect(await check(app, '/health/ready')).toEqual(READY);
  });

  it('is not ready once the revocation feed has not been read for five seconds, and is when it can be again', async () => {
    await app.rows('ALTER TABLE revocation_entries RENAME TO gone');
    // So that no poll is under way that began before.
    await app.logs('The revocation feed cannot be read; each request asks the database');
    app.clock.push(3);
    const late = await check(app, '/health/ready');
    app.clock.push(3);

    const lost = await check(app, '/health/ready');
    await app.rows('ALTER TABLE gone RENAME TO revocation_entries');

    expect(late).toEqual(READY);
    expect(lost).toEqual([
      503,
      'revocation_feed_stale',
      { error: 'Not ready: the revocation feed cannot be read' },
    ]);
    const deadline = performance.now() + 10_000;
    while ((await app.fetch('/health/ready')).status !== 200) {
      expect(performance.now()).toBeLessThan(deadline);
    }
  });

  it('is alive and not ready while it is stopping, and makes no error of being asked', async () => {
    app.nest.get(Drain).announce();

    const ready = await check(app, '/health/ready');

    expect(ready).toEqual([503, 'draining', { error: 'Not ready: the service is stopping' }]);
    expect(await check(app, '/health/live')).toEqual(LIVE);
    expect(app.logged.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

describe('health without a database', () => {
  let fragile: FragileDatabase;
  let app: TestApp;
  beforeAll(async () => {
    fragile = await fragileDatabase();
    app = await startApp({}, { database: fragile.database });
  });
  afterAll(async () => {
    await app.close();
    await fragile.remove();
  });

  // Where it can still be read, it is ready: whoever shows a token is served.
  const unreachable = outageNames.filter((name) =>
    ['has lost its tables', 'is killed', 'stands still'].includes(name),
  );

  it.each(unreachable)('is alive and soon said not to be ready when it %s', async (name) => {
    const outage = fragile.outages.find((one) => one.name === name);
    await outage?.begin(app);
    const begun = performance.now();

    const ready = await check(app, '/health/ready');
    const milliseconds = performance.now() - begun;
    const live = await check(app, '/health/live');
    await outage?.end(app);

    expect(ready).toEqual([
      503,
      'database_unreachable',
      { error: 'Not ready: the database does not answer' },
    ]);
    // The database is given a second.
    expect(milliseconds).toBeLessThan(4_000);
    expect(live).toEqual(LIVE);
    while ((await app.fetch('/health/ready')).status !== 200);
  });
});
