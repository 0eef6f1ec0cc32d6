import { type Connection, createConnection } from 'mysql2/promise';
import { AuditSealer } from '../src/audit/audit-sealer';
import type { RowCleanup } from '../src/database/row-cleanup';
import { CounterKeeper } from '../src/rate-limit/counter-keeper';
import { LimitCountersCleanup } from '../src/rate-limit/limit-counters-cleanup';
import { PasswordAttemptsCleanup } from '../src/rate-limit/password-attempts-cleanup';
import { RevocationCleanup } from '../src/revocation/revocation-cleanup';
import { SessionCleanup } from '../src/sessions/session-cleanup';
import { startApp, type TestApp } from './support/app';
import { createDatabase } from './support/database';
import { createKey, newcomer, signUp } from './support/people';
import { runCommand, settingsFor } from './support/server-process';

const USER = "latchkey_service@'%'";
const PASSWORD = 'kettle-lagoon-72';
const CLEANUPS = [SessionCleanup, RevocationCleanup, PasswordAttemptsCleanup, LimitCountersCleanup];

describe('a database user who may read and write rows and nothing else', () => {
  let owner: Connection;
  let app: TestApp;
  beforeAll(async () => {
    const database = await createDatabase();
    const { code } = await runCommand('latchkey', ['migrate', 'up'], settingsFor(database));
    expect(code).toBe(0);
    const url = new URL(database.url);
    owner = await createConnection(database.url);
    await owner.query(`DROP USER IF EXISTS ${USER}`);
    await owner.query(`CREATE USER ${USER} IDENTIFIED BY '${PASSWORD}'`);
    await owner.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${url.pathname.slice(1)}.* TO ${USER}`);
    [url.username, url.password] = ['latchkey_service', PASSWORD];
    app = await startApp({ DATABASE_URL: url.href }, { database });
  });
  afterAll(async () => {
    await owner.query(`DROP USER ${USER}`);
    await owner.end();
    await app.close();
  });

  it('is enough for a whole life of the service, which neither makes nor changes a table', async () => {
    const person = await newcomer(app);
    await createKey(app, person.token);
    const { refreshToken } = person;
    const statuses = [
      await app.call('POST', '/auth/refresh', { body: { refreshToken } }),
      await app.call('PATCH', '/users/me', { token: person.token, body: { email: 'new@example.com' } }),
      await app.call('POST', '/auth/login', { body: { username: person.username, password: 'not theirs' } }),
      await app.call('GET', '/auth/events', { token: person.token }),
      await app.call('POST', '/auth/logout', { token: person.token }),
    ].map(({ status }) => status);
    // So many that the count is written down.
    for (let count = 0; count < 10; count += 1) await signUp(app);
    await app.nest.get(CounterKeeper).flush();
    app.clock.advance(90 * 24 * 3600);
    const removed: Record<string, number> = {};
    for (const cleanup of CLEANUPS) {
      removed[cleanup.name] = await app.nest.get<RowCleanup>(cleanup).sweepAll();
    }
    await app.nest.get(AuditSealer).sealAll();
    const ready = await app.fetch('/health/ready');

    expect(statuses).toEqual([200, 200, 401, 200, 200]);
    expect(Object.entries(removed).filter(([, rows]) => rows === 0)).toEqual([]);
    expect(ready.status).toBe(200);
    expect(app.logged.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
    await expect(app.rows('CREATE TABLE more (id INT)')).rejects.toThrow();
  });

  it('is not enough to migrate: a start, and what opens the services, says what it lacks; what only looks does not need it', async () => {
    const [[last]] = (await owner.query('SELECT * FROM migrations ORDER BY id DESC LIMIT 1')) as unknown as [
      { id: number; name: string }[],
    ];
    await owner.query('DELETE FROM migrations WHERE id = ?', [last?.id]);
    const url = new URL(app.database.url);
    [url.username, url.password] = ['latchkey_service', PASSWORD];
    const settings = settingsFor({ ...app.database, url: url.href });

    const refused = await Promise.all([
      runCommand('main', [], settings),
      runCommand('latchkey', ['user', 'list'], settings),
    ]);
    const looked = [
      await runCommand('latchkey', ['doctor'], settings),
      await runCommand('latchkey', ['migrate', 'status'], settings),
    ];
    const ready = await app.fetch('/health/ready');
    await owner.query('INSERT INTO migrations SET ?', [last]);

    for (const { code, stderr } of refused) {
      expect(code).toBe(1);
      expect(stderr).toMatch(/command denied .*; check the grants of user 'latchkey_service'/);
    }
    expect(looked.map(({ code }) => code)).toEqual([0, 0]);
    expect(looked[1]?.stdout).toContain(`pending  ${last?.name}`);
    expect([ready.status, ready.headers.get('x-error-code')]).toEqual([503, 'migrations_pending']);
  });
});
