import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Connection, createConnection } from 'mysql2/promise';
import { AuditSealer } from '../src/audit/audit-sealer';
import type { Finding } from '../src/cli/findings';
import { requireInitialized } from '../src/cli/require-initialized';
import { loadConfig } from '../src/config/load-config';
import { migrations } from '../src/database/migrations';
import { MASTER_SECRET, newSecret, startApp } from './support/app';
import { Certificates, keyOf, pemOf } from './support/certificates';
import { callApi } from './support/call';
import { createDatabase, onMysql } from './support/database';
import { ImitatedMysql } from './support/imitated-mysql';
import { describeWhereInstalled } from './support/installed';
import { MariadbServer } from './support/mariadb-server';
import { OperatorDesk } from './support/operator-desk';
import { newcomer, signUp } from './support/people';
import { RedisServer } from './support/redis-server';
import { runCommand, settingsFor, startServer } from './support/server-process';

const NAMES = migrations.map(({ name }) => name);

/** No user of the machine. */
const SOMEBODY = 54_321;

/** Only root can be somebody else for a while. */
const itAsRoot = process.getuid?.() === 0 ? it : it.skip;

/** A line of a stack trace. */
const STACK = / {4}at /;

const findingsOf = async (settings: Record<string, string>) => {
  const { data, bad } = await new OperatorDesk(settings).report('doctor');
  const { findings } = data as { findings: Finding[] };
  return { findings, bad, of: (check: string) => findings.filter((finding) => finding.check === check) };
};

/** Names, sizes and times of what lies in a folder. */
const picture = (folder: string) =>
  readdirSync(folder)
    .sort()
    .map((name) => ({
      name,
      size: statSync(join(folder, name)).size,
      at: statSync(join(folder, name)).mtimeMs,
    }));

describe('config check', () => {
  it('prints what is in effect, without a secret', async () => {
    const settings = {
      DATABASE_URL: 'mysql://latchkey:kettle-lagoon@db.example:3307/auth?ssl-mode=VERIFY_IDENTITY',
      AUTH_SECRET: MASTER_SECRET,
      AUTH_SECRET_PREVIOUS: `${MASTER_SECRET}-2`,
      REDIS_URL: 'redis://:kettle-lagoon@cache.example:6379',
      JWT_ISSUER: 'https://auth.example.com',
    };

    const { text, data, bad } = await new OperatorDesk(settings).report('config', 'check');

    expect(bad).toBeUndefined();
    expect(data).toMatchObject({
      valid: true,
      settings: {
        DATABASE_URL: 'mysql://latchkey:***@db.example:3307/auth?ssl-mode=VERIFY_IDENTITY',
        AUTH_SECRET: '***',
        AUTH_SECRET_PREVIOUS: '***',
        REDIS_URL: '***',
        JWT_AUDIENCE: 'https://auth.example.com',
        ACCESS_TOKEN_TTL: '3600',
        JWT_SECRET: null,
      },
    });
    for (const said of [text, JSON.stringify(data)]) {
      expect(said).not.toContain('kettle-lagoon');
      expect(said).not.toContain(MASTER_SECRET);
    }
  });

  it('prints every fault by name, and exits with 1', async () => {
    const settings = { DATABASE_URL: 'postgres://x', PORT: 'x', AUTH_SECRET: 'short', REGISTRATION: 'maybe' };

    const { code, stdout } = await runCommand('latchkey', ['config', 'check', '--json'], settings);

    const { valid, faults } = JSON.parse(stdout) as { valid: boolean; faults: string[] };
    expect([code, valid]).toEqual([1, false]);
    expect(faults.map((fault) => fault.split(' ')[0]).sort()).toEqual(Object.keys(settings).sort());
  });

  it('knows a weak secret in the file beside the database, and makes none', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-doctor-'));
    const desk = new OperatorDesk({ DATABASE_URL: `sqlite:${join(folder, 'auth.sqlite')}` });

    const before = await desk.report('config', 'check');
    const left = readdirSync(folder);
    writeFileSync(join(folder, 'auth-secret'), 'short');
    const after = await desk.report('config', 'check');
    rmSync(folder, { recursive: true });

    expect([before.bad, left]).toEqual([undefined, []]);
    expect(after.bad).toBe(true);
    expect(after.text).toMatch(/auth-secret must be at least 32 bytes/);
  });
});

describe('doctor', () => {
  it('finds nothing wrong with a database that works, and changes nothing of it', async () => {
    const app = await startApp({ AUTH_SECRET: MASTER_SECRET });
    await newcomer(app);
    const settings = settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET });
    const before = await app.rows('SELECT * FROM audit_chain');

    const running = await findingsOf(settings);
    await app.nest.close();
    const { database } = app.config;
    const files = database.engine === 'sqlite' ? picture(join(database.file, '..')) : [];
    const stopped = await findingsOf(settings);

    for (const { findings, bad } of [running, stopped]) {
      expect(bad).toBe(false);
      expect(findings.filter(({ severity }) => severity === 'fail')).toEqual([]);
    }
    expect(running.of('migrations')).toMatchObject([
      { severity: 'ok', message: `All ${NAMES.length} are applied.` },
    ]);
    expect(running.of('database')[0]?.message).toMatch(onMysql ? /^(MySQL|MariaDB) \d/ : /^SQLite 3\./);
    if (onMysql) expect(running.of('clock')).toMatchObject([{ severity: 'ok' }]);
    else {
      expect(running.of('disk')).toHaveLength(1);
      expect(picture(join((database as { file: string }).file, '..'))).toEqual(files);
    }
    await app.restart();
    expect(await app.rows('SELECT sequence FROM audit_chain')).toHaveLength(before.length);
    await app.close();
  });

  it('says since when events wait for their seal', async () => {
    const app = await startApp({ AUTH_SECRET: MASTER_SECRET });
    const sealer = app.nest.get(AuditSealer);
    await sealer.onApplicationShutdown();
    // The application's clock stands still at an earlier time.
    await newcomer(app);

    const waiting = await findingsOf(settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET }));
    while ((await sealer.sealAll()) > 0);
    const sealed = await findingsOf(settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET }));
    await app.close();

    expect(waiting.of('audit')).toMatchObject([
      {
        severity: 'warn',
        message: expect.stringMatching(/^Nothing is sealed yet; an event has waited \d{3,} s /) as string,
      },
    ]);
    expect(sealed.of('audit')).toMatchObject([
      { severity: 'ok', message: expect.stringMatching(/^The head is number \d+, \d+ s old\.$/) as string },
    ]);
  });

  it('knows a secret that did not seal the audit trail, before anything is written under it', async () => {
    const app = await startApp({ AUTH_SECRET: MASTER_SECRET });
    const sealer = app.nest.get(AuditSealer);
    const other = newSecret();
    const secretFindings = async (secrets: Record<string, string>) =>
      (await findingsOf(settingsFor(app.database, secrets))).of('secret').map(({ severity }) => severity);

    const beforeAll = await secretFindings({ AUTH_SECRET: other });
    const [severitiesOfOne, severitiesOfMany] = [await afterOneMore(1), await afterOneMore(2)];
    await app.close();

    expect(beforeAll).toEqual(['ok']);
    for (const severities of [severitiesOfOne, severitiesOfMany])
      expect(severities).toEqual([
        ['ok', 'ok'],
        ['ok', 'fail'],
        ['ok', 'ok'],
      ]);

    async function afterOneMore(sequence: number) {
      await signUp(app);
      while ((await sealer.sealAll()) > 0);
      const [chain] = await app.rows('SELECT sequence FROM audit_chain');
      expect(Number(chain?.['sequence'])).toBe(sequence);
      const known = await secretFindings({ AUTH_SECRET: MASTER_SECRET });
      const wrong = await secretFindings({ AUTH_SECRET: other });
      const rotated = await secretFindings({ AUTH_SECRET: other, AUTH_SECRET_PREVIOUS: MASTER_SECRET });
      return [known, wrong, rotated];
    }
  });

  it('names the setting to change where the database cannot be reached, and exits with 1', async () => {
    const settings = { DATABASE_URL: 'mysql://latchkey:kettle@127.0.0.1:1/auth', AUTH_SECRET: MASTER_SECRET };

    const { code, stdout } = await runCommand('latchkey', ['doctor'], settings);

    expect(code).toBe(1);
    expect(stdout).toMatch(/^fail {2}database .*cannot be reached.*\[DATABASE_URL\]$/m);
    expect(stdout).not.toContain('kettle@');
  });

  it.each([
    [
      'goes on without what TiDB does not offer',
      1235,
      { severity: 'ok', message: /^TiDB v8\.5\.0, on which nobody/ },
    ],
    ['takes no other refusal for that', 1227, { severity: 'fail', message: /cannot be reached/ }],
  ])('%s', async (_, errno, { severity, message }) => {
    const server = await ImitatedMysql.saying('8.0.11-TiDB-v8.5.0', (sql) => {
      if (sql.includes('VERSION()')) return { name: 'version', value: '8.0.11-TiDB-v8.5.0' };
      if (sql.includes('UNIX_TIMESTAMP')) return { name: 'seconds', value: String(Date.now() / 1000) };
      if (sql.includes('read_only')) return { name: 'readOnly', value: '0' };
      // Nothing has been migrated yet (`ER_NO_SUCH_TABLE`).
      return { errno: sql.startsWith('SET SESSION TRANSACTION') ? errno : 1146 };
    });

    const { of } = await findingsOf({ DATABASE_URL: server.url, AUTH_SECRET: MASTER_SECRET });
    server.close();

    expect(of('database')).toMatchObject([{ severity, message: expect.stringMatching(message) as string }]);
  });

  it('takes settings that are not valid for findings', async () => {
    const { findings, bad } = await findingsOf({ PORT: 'x' });

    expect(bad).toBe(true);
    expect(findings).toMatchObject([{ check: 'settings', severity: 'fail', setting: 'PORT' }]);
  });

  it('knows what is meant for development only, and who is trusted too much', async () => {
    const settings = {
      ...{ NODE_ENV: 'production', HOST: '0.0.0.0', RATE_LIMITS: 'off', LOG_LEVEL: 'trace' },
      ...{ ACCESS_TOKEN_TTL: '604800', STEP_UP_MAX_AGE: '0', CORS_ORIGINS: 'http://app.example.com' },
      ...{ DATABASE_URL: 'sqlite:/nowhere/at/all/auth.sqlite', AUTH_SECRET: MASTER_SECRET },
    };

    const { findings } = await findingsOf(settings);
    const proxied = await findingsOf({ ...settings, TRUST_PROXY: '10.0.0.1,0.0.0.0/0' });
    const hops = await findingsOf({ ...settings, TRUST_PROXY: '1' });

    const named: Record<string, string> = Object.fromEntries(
      findings.map(({ setting, severity }) => [setting ?? '', severity]),
    );
    expect(named).toMatchObject({
      ...{ RATE_LIMITS: 'fail', JWT_ISSUER: 'warn', ACCESS_TOKEN_TTL: 'warn', STEP_UP_MAX_AGE: 'warn' },
      ...{ LOG_LEVEL: 'warn', CORS_ORIGINS: 'warn', TRUST_PROXY: 'warn' },
    });
    expect(proxied.of('proxies')).toMatchObject([{ severity: 'fail', setting: 'TRUST_PROXY' }]);
    expect(hops.of('proxies')).toMatchObject([{ severity: 'warn', setting: 'TRUST_PROXY' }]);
  });

  it('tells what travels unencrypted to another machine', async () => {
    const transportOf = async (DATABASE_URL: string, REDIS_URL: string) =>
      (await findingsOf({ AUTH_SECRET: MASTER_SECRET, DATABASE_URL, REDIS_URL })).of('transport');
    const near = 'mysql://user:kettle@127.0.0.1:1/auth';
    const far = 'mysql://user:kettle@db.invalid:1/auth';

    expect(await transportOf(far, 'redis://cache.invalid:1')).toMatchObject([
      { severity: 'warn', setting: 'DATABASE_URL' },
      { severity: 'warn', setting: 'REDIS_URL' },
    ]);
    for (const [database, redis] of [
      [near, 'redis://[::1]:1'],
      [`${far}?ssl-mode=VERIFY_IDENTITY`, 'rediss://cache.invalid:1'],
    ] as const) {
      expect(await transportOf(database, redis)).toMatchObject([{ severity: 'ok' }]);
    }
  });

  describeWhereInstalled('openssl', 'about a certificate', () => {
    it.each([
      ['is over', -1, 'fail'],
      ['is near', 29, 'warn'],
      ['is far off', 60, 'ok'],
    ])('says when it ends, and that this %s', async (_, days, severity) => {
      const certificates = new Certificates();
      const certificate = certificates.issue({ names: 'DNS:latchkey.example', days });

      const { of } = await findingsOf({
        ...{ REDIS_URL: 'rediss://127.0.0.1:1', AUTH_SECRET: MASTER_SECRET },
        ...{ TLS_CERT: pemOf(certificate), TLS_KEY: keyOf(certificate) },
        DATABASE_URL: `sqlite:${join(tmpdir(), 'latchkey-nowhere', 'auth.sqlite')}`,
      });
      certificates.remove();

      expect(of('certificate')).toMatchObject([{ severity }]);
    });
  });

  it('tells when Redis does not answer, which is no failure', async () => {
    const { of, bad } = await findingsOf({
      ...{ REDIS_URL: 'redis://127.0.0.1:1', AUTH_SECRET: MASTER_SECRET },
      DATABASE_URL: `sqlite:${join(tmpdir(), 'latchkey-nowhere', 'auth.sqlite')}`,
    });

    expect(bad).toBe(false);
    expect(of('redis')).toMatchObject([{ severity: 'warn', setting: 'REDIS_URL' }]);
  });
});

describeWhereInstalled('redis-server', 'doctor, with a Redis', () => {
  it.each<[string, string[], RegExp[]]>([
    ['bounded memory that forgets nothing', ['64mb', 'noeviction'], []],
    ['unbounded memory', ['0', 'noeviction'], [/maxmemory 0/]],
    ['bounded memory that forgets what counts', ['64mb', 'volatile-ttl'], [/maxmemory-policy volatile-ttl/]],
    ['bounded memory that forgets anything', ['64mb', 'allkeys-lru'], [/maxmemory-policy allkeys-lru/]],
  ])('of %s says what to change', async (_, [bytes = '', policy = ''], warnings) => {
    const redis = await RedisServer.create(['--maxmemory', bytes, '--maxmemory-policy', policy]);

    const { of, bad } = await findingsOf({
      ...{ REDIS_URL: redis.url, AUTH_SECRET: MASTER_SECRET },
      DATABASE_URL: `sqlite:${join(tmpdir(), 'latchkey-nowhere', 'auth.sqlite')}`,
    });
    await redis.remove();

    expect(bad).toBe(false);
    expect(of('redis')).toMatchObject([
      { severity: 'ok' },
      ...warnings.map((message) => ({ severity: 'warn', message: expect.stringMatching(message) as string })),
    ]);
  });
});

(onMysql ? () => undefined : describe)('doctor, beside an SQLite file', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'latchkey-doctor-'));
    file = join(folder, 'auth.sqlite');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('makes neither a database nor a secret where there is none', async () => {
    const { findings, bad } = await findingsOf({ DATABASE_URL: `sqlite:${file}` });

    expect(bad).toBe(false);
    expect(findings.map(({ message }) => message).join()).toContain('is made at the first start');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('leaves nothing behind beside a database that was closed cleanly', async () => {
    await runCommand('latchkey', ['migrate', 'up'], { DATABASE_URL: `sqlite:${file}` });
    const before = picture(folder);

    const { bad } = await findingsOf({ DATABASE_URL: `sqlite:${file}`, AUTH_SECRET: MASTER_SECRET });

    expect(bad).toBe(false);
    expect(before.map(({ name }) => name)).toEqual(['auth.sqlite']);
    expect(picture(folder)).toEqual(before);
  });

  it('fails when others can read the secret, and warns when they can read the database', async () => {
    const desk = new OperatorDesk({ DATABASE_URL: `sqlite:${file}` });
    await desk.rows('user', 'list');
    await desk.close();
    chmodSync(join(folder, 'auth-secret'), 0o644);
    chmodSync(file, 0o644);
    chmodSync(folder, 0o755);

    const { of, bad } = await findingsOf({ DATABASE_URL: `sqlite:${file}` });

    expect(bad).toBe(true);
    expect(of('secret')).toMatchObject([{ severity: 'fail', setting: 'AUTH_SECRET' }]);
    expect(of('database')).toMatchObject([{ severity: 'warn' }]);
  });

  it('fails when the secret that sealed the audit trail is lost and would be made anew', async () => {
    const settings = { DATABASE_URL: `sqlite:${file}` };
    const server = await startServer({ ...settings, PORT: '0' });
    await callApi(
      server.url,
      'POST',
      '/users',
      {},
      { username: 'sam.hill', email: 'sam@example.com', password: 'nine brass kettles' },
    );
    server.signal('SIGTERM');
    expect(await server.exit()).toBe(0);

    const kept = await findingsOf(settings);
    rmSync(join(folder, 'auth-secret'));
    const lost = await findingsOf(settings);

    expect([kept.bad, lost.bad]).toEqual([false, true]);
    expect(lost.of('secret')).toMatchObject([
      { severity: 'ok' },
      { severity: 'fail', setting: 'AUTH_SECRET' },
    ]);
    expect(readdirSync(folder)).not.toContain('auth-secret');
  });

  it('warns where the service could not write to the file', async () => {
    await runCommand('latchkey', ['migrate', 'up'], { DATABASE_URL: `sqlite:${file}` });
    const settings = { DATABASE_URL: `sqlite:${file}`, AUTH_SECRET: MASTER_SECRET };
    // Root can write to what is read-only, and nobody else can give a file away.
    if (process.getuid?.() === 0) chownSync(file, SOMEBODY, SOMEBODY);
    else chmodSync(file, 0o400);

    const trouble = await findingsOf(settings);
    if (process.getuid?.() === 0) chownSync(folder, SOMEBODY, SOMEBODY);
    else chmodSync(file, 0o600);
    const mended = await findingsOf(settings);

    expect(trouble.of('database')).toMatchObject([{ severity: 'warn', setting: 'DATABASE_URL' }]);
    expect(mended.of('database')).toMatchObject([{ severity: 'ok' }]);
  });

  it.each(['doctor', 'config check'])(
    'names the file of the secret that cannot be read: %s, with and without --json',
    async (command) => {
      mkdirSync(join(folder, 'auth-secret'));

      for (const json of [[], ['--json']]) {
        const words = [...command.split(' '), ...json];
        const { code, stdout, stderr } = await runCommand('latchkey', words, {
          DATABASE_URL: `sqlite:${file}`,
        });

        expect([code, stderr]).toEqual([1, '']);
        expect(stdout).toContain(`${join(folder, 'auth-secret')} cannot be read (EISDIR), restore the file`);
        expect(stdout).not.toMatch(STACK);
      }
    },
  );

  it.each(['doctor', 'config check'])(
    'refuses the secret that was made as that of the access tokens too: %s',
    async (command) => {
      writeFileSync(join(folder, 'auth-secret'), MASTER_SECRET, { mode: 0o600 });

      const { code, stdout } = await runCommand('latchkey', command.split(' '), {
        DATABASE_URL: `sqlite:${file}`,
        JWT_SECRET: MASTER_SECRET,
      });

      expect(code).toBe(1);
      expect(stdout).toMatch(
        /JWT_SECRET .*auth-secret: who verifies tokens with it could make anything else/,
      );
    },
  );

  itAsRoot('tells who may not look into the folder of the service to be its user', async () => {
    const settings = { DATABASE_URL: `sqlite:${file}` };
    const desk = new OperatorDesk(settings);
    await desk.rows('user', 'list');
    await desk.close();
    const look = async () => ({
      doctor: await findingsOf(settings),
      check: await new OperatorDesk(settings).report('config', 'check'),
      list: await requireInitialized(loadConfig(settings), {}).catch((error: unknown) => error as Error),
    });
    // Whatever is loaded by the first look is readable then.
    const allowed = await look();

    process.seteuid?.(SOMEBODY);
    const refused = await look().finally(() => process.seteuid?.(0));

    expect([allowed.doctor.bad, allowed.check.bad, allowed.list]).toEqual([false, undefined, undefined]);
    expect([refused.doctor.bad, refused.check.bad]).toEqual([true, true]);
    const asUser = /cannot be read \(EACCES.*run this as the user of the service/;
    for (const check of ['secret', 'database'])
      expect(refused.doctor.of(check)).toMatchObject([
        { severity: 'fail', message: expect.stringMatching(asUser) as string },
      ]);
    expect(refused.doctor.of('disk')).toMatchObject([{ severity: 'warn' }]);
    expect(refused.check.text).toMatch(asUser);
    expect(refused.list).toMatchObject({ message: expect.stringMatching(asUser) as string });
  });

  it('fails where the file is no database', async () => {
    writeFileSync(file, 'x'.repeat(5000));

    const { of, bad } = await findingsOf({ DATABASE_URL: `sqlite:${file}`, AUTH_SECRET: MASTER_SECRET });

    expect(bad).toBe(true);
    expect(of('database')).toMatchObject([{ severity: 'fail', setting: 'DATABASE_URL' }]);
  });
});

(onMysql ? describe : () => undefined)('doctor, about a MariaDB server and its connections', () => {
  const SERVICE = "latchkey@'127.0.0.1'";
  const PASSWORD = 'kettle-lagoon-73';
  let server: MariadbServer;
  let root: Connection;
  let open: Connection[] = [];
  beforeAll(async () => {
    server = await MariadbServer.create();
    root = await createConnection(server.url);
    await root.query('CREATE DATABASE latchkey');
    await root.query(`CREATE USER ${SERVICE} IDENTIFIED BY '${PASSWORD}'`);
    await root.query(`GRANT ALL ON latchkey.* TO ${SERVICE}`);
  });
  afterEach(async () => {
    await Promise.all(open.map((connection) => connection.end()));
    open = [];
    // One that has been ended may be counted for a moment longer.
    const connected = async () => {
      const [rows] = await root.query("SHOW GLOBAL STATUS LIKE 'Threads_connected'");
      return Number((rows as { Value: string }[])[0]?.Value);
    };
    while ((await connected()) > 1);
  });
  afterAll(async () => {
    await root.end();
    await server.remove();
  });

  it('fails where it can only be read, and says what to do', async () => {
    const url = new URL(server.url);
    Object.assign(url, { username: 'latchkey', password: PASSWORD, pathname: '/latchkey' });
    const look = () => findingsOf({ DATABASE_URL: url.href, AUTH_SECRET: MASTER_SECRET });

    await root.query('SET GLOBAL read_only = 1');
    const readOnly = await look().finally(() => root.query('SET GLOBAL read_only = 0'));
    const writable = await look();

    expect(readOnly.bad).toBe(true);
    expect(readOnly.of('database')).toMatchObject([
      { severity: 'ok', message: expect.stringMatching(/^MariaDB /) as string },
      {
        severity: 'fail',
        message: expect.stringMatching(/can only be read .* Name the one that takes writes/) as string,
        setting: 'DATABASE_URL',
      },
    ]);
    expect(writable.bad).toBe(false);
    expect(writable.of('database')).toMatchObject([{ severity: 'ok' }]);
  });

  it.each<[string, { most: number; ofUser?: number; others?: number; own?: number }, string, RegExp]>([
    ['is content with a server of its own', { most: 21 }, 'ok', /^Of 21 .*, 20 are for this user and 0 in/],
    ['warns of a small one', { most: 20 }, 'warn', /, 19 are for .* one more\. Raise max_connections\.$/],
    ['counts what others use', { most: 25, others: 5 }, 'warn', /, 19 are .*\. Raise max_connections\.$/],
    ['leaves room for one more', { most: 25, own: 14 }, 'ok', /, 24 are for this user and 14 in use/],
    [
      'warns where there is none',
      { most: 25, own: 15 },
      'warn',
      /, 24 are for this user and 15 .* Raise max_co/,
    ],
    ['knows the bound of a user', { most: 25, ofUser: 19 }, 'warn', /, 19 are .* Raise max_user_connections/],
  ])('%s', async (_, { most, ofUser = 0, others = 0, own = 0 }, severity, message) => {
    await root.query(`SET GLOBAL max_connections = ${most}`);
    await root.query(`ALTER USER ${SERVICE} WITH MAX_USER_CONNECTIONS ${ofUser}`);
    const url = new URL(server.url);
    Object.assign(url, { username: 'latchkey', password: PASSWORD, pathname: '/latchkey' });
    for (let count = 0; count < others; count += 1) open.push(await createConnection(server.url));
    for (let count = 0; count < own; count += 1) open.push(await createConnection(url.href));

    const { of, bad } = await findingsOf({ DATABASE_URL: url.href, AUTH_SECRET: MASTER_SECRET });

    expect(bad).toBe(false);
    expect(of('connections')).toEqual([
      { check: 'connections', severity, message: expect.stringMatching(message) as string },
    ]);
  });
});

describe('doctor on a database of which a part is missing', () => {
  it('fails, and names the tables that a dump has left out', async () => {
    const database = await createDatabase();
    const settings = settingsFor(database, { AUTH_SECRET: MASTER_SECRET });
    await new OperatorDesk(settings).report('migrate', 'up');
    for (const table of ['sessions', 'limit_counters']) await database.rows(`DROP TABLE ${table}`);

    const { of, bad } = await findingsOf(settings);
    await database.drop();

    expect(bad).toBe(true);
    expect(of('migrations')).toEqual([
      {
        ...{ check: 'migrations', severity: 'fail' },
        message: expect.stringMatching(/no table sessions, limit_counters,.*restore/) as string,
      },
    ]);
  });
});

describe('migrate', () => {
  it('tells what is pending without doing it, then does it, as a start would', async () => {
    const database = await createDatabase();
    const desk = new OperatorDesk(settingsFor(database));

    const before = await desk.report('migrate', 'status');
    const still = await desk.report('migrate', 'status');
    const up = await desk.report('migrate', 'up');
    const after = await desk.report('migrate', 'status');
    const again = await desk.report('migrate', 'up');
    const rows = await database.rows('SELECT name FROM migrations');
    await database.drop();

    expect([before.data, still.data]).toEqual(
      [1, 2].map(() => ({ applied: [], pending: NAMES, unknown: [] })),
    );
    expect(up.data).toEqual({ applied: NAMES });
    expect(after.data).toEqual({ applied: NAMES, pending: [], unknown: [] });
    expect(again).toEqual({ text: 'Nothing was pending.', data: { applied: [] } });
    expect(rows).toHaveLength(NAMES.length);
  });

  it('is done by a command that only lists, and not by those that look without', async () => {
    const database = await createDatabase();
    const desk = new OperatorDesk(settingsFor(database, { AUTH_SECRET: MASTER_SECRET }));
    const pending = async () =>
      ((await desk.report('migrate', 'status')).data as { pending: string[] }).pending;

    await desk.report('config', 'check');
    await desk.report('doctor');
    const before = await pending();
    await desk.rows('user', 'list');
    const after = await pending();
    await desk.close();
    await database.drop();

    expect([before, after]).toEqual([NAMES, []]);
  });

  it('names each migration when it is begun, on standard error alone', async () => {
    const database = await createDatabase();
    // In the way of the last one.
    await database.rows('CREATE TABLE limit_counters (somebody integer)');
    const begun = NAMES.map((name, at) => `${name} is being applied, ${at + 1} of ${NAMES.length}`);

    const { code, stdout, stderr } = await runCommand('latchkey', ['migrate', 'up'], settingsFor(database));
    await database.rows('DROP TABLE limit_counters');
    const again = await runCommand('latchkey', ['migrate', 'up', '--json'], settingsFor(database));
    await database.drop();

    expect([code, stdout]).toEqual([1, '']);
    expect(stderr.split('\n').slice(0, NAMES.length)).toEqual(begun);
    // SQLite has taken back those before it.
    const left = onMysql ? NAMES.slice(-1) : NAMES;
    expect([again.code, JSON.parse(again.stdout)]).toEqual([0, { applied: left }]);
    expect(again.stderr.trimEnd().split('\n')).toHaveLength(left.length);
  });

  it('names what a newer release has applied', async () => {
    const app = await startApp();
    await app.inDatabase((tx) =>
      tx.query(
        "INSERT INTO migrations (timestamp, name) VALUES (2000000000000, 'FromTheFuture2000000000000')",
      ),
    );

    const { data } = await new OperatorDesk(settingsFor(app.database)).report('migrate', 'status');
    await app.close();

    expect(data).toMatchObject({ pending: [], unknown: ['FromTheFuture2000000000000'] });
  });
});
