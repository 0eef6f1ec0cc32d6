import { createConnection } from 'mysql2/promise';
import { AuditSealer } from '../src/audit/audit-sealer';
import { RevocationCleanup } from '../src/revocation/revocation-cleanup';
import { SessionCleanup } from '../src/sessions/session-cleanup';
import { startApp, type TestApp } from './support/app';
import { createDatabase, type TestDatabase } from './support/database';
import { createKey, newcomer } from './support/people';
import { runCommand, settingsFor } from './support/server-process';

const USER = 'latchkey_service';

describe('a database user who may read and write rows and nothing else', () => {
  it('is enough for a whole life of the service, which neither makes nor changes a table', async () => {
    const database = await createDatabase();
    const { code } = await runCommand('latchkey', ['migrate', 'up'], settingsFor(database));
    expect(code).toBe(0);
    const name = new URL(database.url).pathname.slice(1);
    const owner = await createConnection(database.url);
    await owner.query(`CREATE USER IF NOT EXISTS ${USER}@'%' IDENTIFIED BY 'kettle-lagoon-72'`);
    await owner.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${name}.* TO ${USER}@'%'`);
    const url = new URL(database.url);
    [url.username, url.password] = [USER, 'kettle-lagoon-72'];

    const app = await startApp({ DATABASE_URL: url.href }, { database });
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
    app.clock.advance(90 * 24 * 3600);
    await app.nest.get(SessionCleanup).sweepAll();
    await app.nest.get(RevocationCleanup).sweepAll();
    await app.nest.get(AuditSealer).sealAll();
    const ready = await app.fetch('/health/ready');

    expect(statuses).toEqual([200, 200, 401, 200, 200]);
    expect(ready.status).toBe(200);
    expect(app.logged.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
    await expect(app.rows('CREATE TABLE more (id INT)')).rejects.toThrow();
    await owner.query(`DROP USER ${USER}@'%'`);
    await owner.end();
    await app.close();
  });
});
