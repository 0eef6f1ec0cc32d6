import { execFileSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SystemRandom } from '../src/core/random';
import { backUpSqlite } from '../src/database/sqlite-backup';
import { SqliteConnection } from '../src/database/sqlite-connection';
import { MASTER_SECRET, newSecret } from './support/app';
import { asItsOwner, BackupSteps, forgetOwner } from './support/backup-steps';
import { BusyCustomer } from './support/busy-customer';
import { callApi } from './support/call';
import { createDatabase, onMysql, type TestDatabase } from './support/database';
import { halfDone } from './support/half-done';
import { bearer } from './support/instances';
import { type Program, runCommand, settingsFor, startServer } from './support/server-process';

/** Every step is a process. */
jest.setTimeout(240_000);

/** Who goes on meanwhile, and how often one of them is acknowledged something before the next step: in three lives of each, or so. */
const CUSTOMERS = 4;
const SEVERAL = 30 * CUSTOMERS;

const WORKER = join(__dirname, '..', 'src', 'database', 'statement-worker.js');

/** How a chain of commands ended that did not get to its end: its exit code and what it said. */
const failureOf = async (chain: Promise<void>): Promise<[code: unknown, stderr: string]> => {
  const error = await chain.then(
    () => ({ status: 0, stderr: '' }),
    (reason: { status?: unknown; stderr?: unknown }) => reason,
  );
  return [error.status, String(error.stderr)];
};

const page = readFileSync(join(__dirname, '..', 'docs', 'backup.md'), 'utf8');

describe('a backup that is restored by the steps of docs/backup.md', () => {
  let database: TestDatabase;
  let folder: string;
  let settings: Record<string, string>;
  let steps: BackupSteps;
  let server: (Program & { url: string }) | undefined;
  beforeAll(async () => {
    database = await createDatabase();
    folder = mkdtempSync(join(tmpdir(), 'latchkey-backups-'));
    settings = await asItsOwner(database, settingsFor(database, { AUTH_SECRET: MASTER_SECRET }));
    steps = new BackupSteps(database, settings, folder);
  });
  afterAll(async () => {
    await stop();
    await forgetOwner(database);
    await database.drop();
    rmSync(folder, { recursive: true });
  });

  const start = async (): Promise<void> => {
    server = await startServer(settings);
  };
  const stop = async (): Promise<void> => {
    server?.signal('SIGTERM');
    await server?.exit();
    server = undefined;
  };
  const call = (method: string, path: string, headers: Record<string, string> = {}, body?: object) =>
    callApi(server?.url ?? '', method, path, headers, body);
  const signUp = async (username: string) => {
    const person = { username, email: `${username}@example.com`, password: 'nine brass kettles' };
    expect((await call('POST', '/users', {}, person)).status).toBe(201);
  };
  const logIn = async (username: string, password = 'nine brass kettles') =>
    call('POST', '/auth/login', {}, { username, password });
  const tokens = async (username: string) => {
    const { body } = await logIn(username);
    return { token: body['token'] ?? '', refreshToken: body['refreshToken'] ?? '' };
  };
  const refresh = (refreshToken = '') => call('POST', '/auth/refresh', {}, { refreshToken });
  const latchkey = (...words: string[]) => runCommand('latchkey', words, settings);
  /** Step 2 of the page: what a line of it puts into a file. */
  const lostRows = async (line: string): Promise<Record<string, unknown>[]> => {
    expect(page).toContain(`npm run --silent latchkey -- ${line}\n`);
    const [words = ''] = line.split(' > ');
    const { code, stdout, stderr } = await latchkey(...words.split(' '));
    expect([code, stderr]).toEqual([0, '']);
    return stdout
      .trimEnd()
      .split('\n')
      .map((row) => JSON.parse(row) as Record<string, unknown>);
  };
  /** Step 9 of the page. @returns the ids of all accounts that there are then */
  const bringBack = async (users: object[]): Promise<unknown[]> => {
    writeFileSync(join(folder, 'lost-users.jsonl'), users.map((user) => JSON.stringify(user)).join('\n'));
    writeFileSync(join(folder, 'kept-users.jsonl'), (await latchkey('user', 'export')).stdout);
    const [picks = ''] = /jq -c --slurpfile .*/.exec(page.slice(page.indexOf('## Restore'))) ?? [];
    execFileSync('sh', ['-ec', picks], { cwd: folder });
    const { code, stderr } = await latchkey('user', 'import', join(folder, 'lost-accounts.jsonl'));
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    const { stdout } = await latchkey('user', 'export');
    return stdout
      .trimEnd()
      .split('\n')
      .map((row) => (JSON.parse(row) as { id: string }).id)
      .sort();
  };
  const lostEvents = () => lostRows('audit export --unsealed > lost-events.jsonl');
  const idOf = async (username: string): Promise<string> => {
    const [row] = await database.rows<{ id: string }>(`SELECT id FROM users WHERE username = '${username}'`);
    return row?.id ?? '';
  };

  it('brings the users back, and neither a session that was logged out nor a false alarm of theft', async () => {
    await start();
    for (const name of ['stays', 'leaves', 'refreshes']) await signUp(name);
    const [leaving, refreshing] = [await tokens('leaves'), await tokens('refreshes')];
    const key =
      (await call('POST', '/auth/keys', bearer((await tokens('stays')).token), {})).body['apiKey'] ?? '';
    // Of fewer than two sealed events nobody can tell which secret has sealed them.
    const sealed = 'SELECT id FROM audit_events WHERE sequence IS NOT NULL';
    while ((await database.rows(sealed)).length < 2) await delay(100);

    await steps.backUp();

    // Life goes on: what the restore will take back.
    expect((await call('POST', '/auth/logout', bearer(leaving.token))).status).toBe(200);
    const first = await refresh(refreshing.refreshToken);
    const newer = await refresh(first.body['refreshToken']);
    await signUp('comes-later');
    const later = await tokens('comes-later');
    expect((await call('POST', '/auth/logout', bearer(later.token))).status).toBe(200);
    await stop();
    const ofTheLastMoment = { type: 'signed_out', userId: await idOf('comes-later') };
    const lost = await lostEvents();
    const lostUsers = await lostRows('user export --with-password-hashes > lost-users.jsonl');
    const head = (await latchkey('audit', 'head')).stdout.trim();
    expect(lost).toContainEqual(expect.objectContaining(ofTheLastMoment));
    expect(head).toMatch(/^\d+:[0-9a-f]{64}$/);

    await steps.restore();
    expect(page).toMatch(/-- doctor\n +npm run latchkey -- audit verify\n[\s\S]*-- session revoke --all\n/);
    const doctor = await latchkey('doctor');
    const looked = await latchkey('audit', 'verify');
    const revoked = await latchkey('session', 'revoke', '--all', '--json');
    const accounts = await bringBack(lostUsers);
    settings = { ...settings, JWT_SECRET: newSecret() };
    await start();

    expect([revoked.code, JSON.parse(revoked.stdout)]).toEqual([0, { accounts: 3, sessions: 3, failed: [] }]);
    expect([doctor.code, looked.code]).toEqual([0, 0]);
    expect(doctor.stdout).toMatch(/^ok {4}secret .* audit trail was sealed with it/m);
    // Ended before the restore, by it, or unknown to it: none opens anything.
    for (const { token } of [leaving, refreshing, later])
      expect((await call('GET', '/users/me', bearer(token))).status).toBe(401);
    const newest = newer.body['refreshToken'];
    for (const token of [leaving.refreshToken, newest, later.refreshToken]) {
      const { status, body } = await refresh(token);
      expect([status, body]).toEqual([401, { error: 'Invalid or expired refresh token' }]);
    }
    expect(await database.rows("SELECT id FROM audit_events WHERE type = 'refresh_token_reused'")).toEqual(
      [],
    );
    // Everybody of the backup is there, and who came later once more, by the same id.
    expect(accounts.length).toBe(4);
    expect(accounts).toEqual(lostUsers.map(({ id }) => id).sort());
    for (const name of ['stays', 'leaves', 'refreshes', 'comes-later'])
      expect((await logIn(name)).status).toBe(200);
    expect((await call('GET', '/users/me', { 'x-api-key': key })).status).toBe(200);
    // The trail is whole, and misses what came later.
    const verdict = await latchkey('audit', 'verify', '--json');
    expect([verdict.code, JSON.parse(verdict.stdout)]).toMatchObject([0, { intact: true }]);
    const missed = await latchkey('audit', 'verify', '--head', head, '--json');
    expect(missed.code).toBe(1);
    expect((JSON.parse(missed.stdout) as { fault: { kind: string } }).fault.kind).toMatch(
      /^(tail_missing|head_replaced)$/,
    );
  });

  it('lists what is lost also where the service did not stop cleanly, and what was done after it had stopped', async () => {
    if (!server) await start();
    await signUp('shut-out');
    const { token } = await tokens('shut-out');
    expect((await call('POST', '/auth/keys', bearer(token), {})).status).toBe(201);
    server?.signal('SIGKILL');
    await server?.exit();
    server = undefined;
    expect((await latchkey('user', 'scopes', 'shut-out', 'users:read')).code).toBe(0);
    expect((await latchkey('user', 'disable', 'shut-out')).code).toBe(0);

    const lost = await lostEvents();
    const users = await lostRows('user export --with-password-hashes > lost-users.jsonl');
    const keys = await lostRows('key list --json > lost-keys.jsonl');
    const sealedOnly = await latchkey('audit', 'export');

    const userId = await idOf('shut-out');
    for (const type of ['account_created', 'signed_in', 'account_scopes_changed', 'account_disabled'])
      expect(lost).toContainEqual(expect.objectContaining({ type, userId }));
    // What the events do not say.
    const scopes = ['users:read'];
    expect(users).toContainEqual(expect.objectContaining({ id: userId, disabled: true, scopes }));
    expect(keys).toContainEqual(expect.objectContaining({ userId, scopes, expiresAt: null }));
    expect(sealedOnly.stdout).not.toContain('account_disabled');
    expect(sealedOnly.stderr).toMatch(/^Events that wait to be sealed and are left out: \d+; --unsealed/);
  });

  it('without ending the sessions would let a refresh token that is newer than it be refused all the same', async () => {
    if (!server) await start();
    await signUp('no-thief');
    const old = await tokens('no-thief');
    const newer = (await refresh(old.refreshToken)).body['refreshToken'];
    // What a restore makes of the row.
    await stop();
    const { code } = await setBack();
    await start();

    const refused = await refresh(newer);
    const good = await refresh(old.refreshToken);

    expect(code).toBe(0);
    expect([refused.status, good.status]).toEqual([401, 200]);
    expect(await database.rows("SELECT id FROM audit_events WHERE type = 'refresh_token_reused'")).toEqual(
      [],
    );

    async function setBack() {
      const sql = `UPDATE sessions SET generation = 0, rotated_at = NULL WHERE user_id = (SELECT id FROM users WHERE username = 'no-thief')`;
      await database.rows(sql);
      return latchkey('audit', 'verify');
    }
  });
});

describe('a backup of a server that goes on reading and writing', () => {
  let database: TestDatabase;
  let folder: string;
  let settings: Record<string, string>;
  let server: Program & { url: string };
  beforeAll(async () => {
    database = await createDatabase();
    folder = mkdtempSync(join(tmpdir(), 'latchkey-backups-'));
    const given = settingsFor(database, { AUTH_SECRET: MASTER_SECRET, RATE_LIMITS: 'off' });
    settings = await asItsOwner(database, given);
    server = await startServer(settings);
  });
  afterAll(async () => {
    server.signal('SIGKILL');
    await server.exit();
    await forgetOwner(database);
    await database.drop();
    rmSync(folder, { recursive: true });
  });

  it('holds all that was acknowledged before it began, and nothing by half', async () => {
    const steps = new BackupSteps(database, settings, folder);
    await steps.takeOnBallast();
    const acknowledgements = new EventEmitter();
    const [origin, tell] = [() => server.url, () => void acknowledgements.emit('one more')];
    const customers = Array.from(
      { length: CUSTOMERS },
      (_, index) => new BusyCustomer(`customer-${index}`, origin, tell),
    );
    const several = async () => {
      for (let count = 0; count < SEVERAL; count += 1) await once(acknowledgements, 'one more');
    };
    let over = false;
    const lives = customers.map((customer) => customer.live(() => over));
    await several();
    const before = customers.flatMap((customer) => customer.usernames);

    // The copy goes on only when all of this has happened.
    await steps.backUp(several);

    const after = customers.flatMap((customer) => customer.usernames);
    over = true;
    await Promise.all(lives);
    server.signal('SIGTERM');
    expect(await server.exit()).toBe(0);
    await steps.restore();
    if (!onMysql) expect(await database.rows('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
    expect(await halfDone(database)).toEqual([]);
    const rows = await database.rows<{ username: string }>('SELECT username FROM users');
    const restored = rows.map(({ username }) => username);
    expect(before.filter((username) => !restored.includes(username))).toEqual([]);
    expect(before.length).toBeGreaterThanOrEqual(CUSTOMERS);
    expect(after.length).toBeGreaterThan(before.length);
    expect(restored.length).toBeLessThan(after.length);
    expect(customers.flatMap(({ falseRefusals }) => falseRefusals)).toEqual([]);
  });
});

(onMysql ? () => undefined : describe)('a copy of an SQLite database', () => {
  it('is private, and never in the place of another', async () => {
    const database = await createDatabase();
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-backups-'));
    const settings = settingsFor(database, { AUTH_SECRET: MASTER_SECRET });
    const target = join(folder, 'copy.sqlite');
    await runCommand('latchkey', ['migrate', 'up'], settings);
    // Of another backup, which may be under way.
    writeFileSync(`${target}.0123456789ab.partial`, 'half');

    const made = await runCommand('latchkey', ['backup', target], settings);
    const again = await runCommand('latchkey', ['backup', target], settings);
    const left = readdirSync(folder);
    const mode = statSync(target).mode & 0o777;
    rmSync(folder, { recursive: true });
    const nowhere = await runCommand('latchkey', ['backup', target], settings);
    await database.drop();

    expect([made.code, again.code, nowhere.code]).toEqual([0, 1, 1]);
    expect(again.stderr).toMatch(/is there already/);
    expect(left).toEqual(['copy.sqlite', 'copy.sqlite.0123456789ab.partial']);
    expect(mode).toBe(0o600);
  });

  it('takes the place of the database only if it is there, and whatever each restore replaces is kept', async () => {
    const database = await createDatabase();
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-backups-'));
    const settings = settingsFor(database, { AUTH_SECRET: MASTER_SECRET });
    await runCommand('latchkey', ['migrate', 'up'], settings);
    const steps = new BackupSteps(database, settings, folder);
    const data = dirname(database.url.slice('sqlite:'.length));
    const kept = () => readdirSync(data).filter((name) => name.startsWith('before-restore'));

    const stopped = await failureOf(steps.restore());
    const tables = await database.rows("SELECT name FROM sqlite_master WHERE type = 'table'");
    const keptMeanwhile = kept();
    await steps.backUp();
    await database.rows('CREATE TABLE of_the_old_one (number INTEGER)');
    await steps.restore();
    await steps.restore();
    const isOld = kept().map((name) => hasTable(join(data, name, 'auth.sqlite'), 'of_the_old_one'));
    await database.drop();
    rmSync(folder, { recursive: true });

    expect(stopped).toEqual([1, expect.stringMatching(/NOT RESTORED\n$/)]);
    expect([tables.length > 5, keptMeanwhile]).toEqual([true, []]);
    // The restored one was replaced as well, and did not take the place of the other.
    expect(isOld.sort()).toEqual([false, true]);
  });

  describe('that is long', () => {
    let folder: string;
    let file: string;
    let target: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'latchkey-backups-'));
      [file, target] = [join(folder, 'auth.sqlite'), join(folder, 'copy.sqlite')];
      // A copy takes the tables in the order in which they were made.
      inFile(
        'CREATE TABLE first (change INTEGER)',
        'INSERT INTO first VALUES (0)',
        'CREATE TABLE ballast (filling BLOB)',
        `INSERT INTO ballast WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
         SELECT zeroblob(10000) FROM n`,
        'CREATE TABLE last (change INTEGER)',
        'INSERT INTO last VALUES (0)',
      );
    });
    afterEach(() => rmSync(folder, { recursive: true }));

    const inFile = (...statements: string[]): void => {
      const connection = new SqliteConnection(file);
      for (const statement of statements) connection.exec(statement);
      connection.close();
    };
    const copyTo = (copy: string, told: (bytes: number, total: number) => void) =>
      backUpSqlite(file, copy, { workerFile: WORKER, random: new SystemRandom(), told });
    /** Does `work` once, while the copy is under way. */
    const copyDuring = async (work: () => void): Promise<void> => {
      let done = false;
      await copyTo(target, (bytes, total) => {
        if (done || bytes === 0 || bytes >= total) return;
        done = true;
        work();
      });
      expect(done).toBe(true);
    };

    it('is none where somebody has tidied away what was not whole yet', async () => {
      const copying = copyTo(target, (bytes, total) => {
        if (bytes < total) return;
        for (const name of readdirSync(folder)) if (name.endsWith('.partial')) rmSync(join(folder, name));
      });

      await expect(copying).rejects.toThrow();
      expect(readdirSync(folder)).toEqual(['auth.sqlite']);
    });

    it('is of one moment also where a server starts meanwhile and writes its log back into the file', async () => {
      expect(readdirSync(folder)).toEqual(['auth.sqlite']);

      await copyDuring(() =>
        inFile(
          'BEGIN',
          'UPDATE first SET change = 1',
          'UPDATE last SET change = 1',
          'COMMIT',
          'PRAGMA wal_checkpoint',
        ),
      );

      expect(readdirSync(folder)).toEqual(['auth.sqlite', 'copy.sqlite']);
      expect(changesIn(target)).toEqual([0, 0]);
      expect(changesIn(file)).toEqual([1, 1]);
    });

    it('is not put over what has come to its name meanwhile', async () => {
      const copied = copyDuring(() => writeFileSync(target, 'of somebody else'));

      await expect(copied).rejects.toThrow(`${target} is there already`);
      expect(readFileSync(target, 'utf8')).toBe('of somebody else');
      expect(readdirSync(folder)).toEqual(['auth.sqlite', 'copy.sqlite']);
    });

    it('is made once where two are made to one name', async () => {
      const copies = await Promise.allSettled([1, 2].map(() => copyTo(target, () => undefined)));

      expect(copies.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      expect(copies).toContainEqual({ status: 'rejected', reason: new Error(`${target} is there already`) });
      expect(readdirSync(folder)).toEqual(['auth.sqlite', 'copy.sqlite']);
      expect(changesIn(target)).toEqual([0, 0]);
    });

    const changesIn = (database: string): number[] => {
      const connection = new SqliteConnection(database);
      const rows = connection.prepare('SELECT change FROM first UNION ALL SELECT change FROM last').all();
      connection.close();
      return (rows as { change: number }[]).map(({ change }) => change);
    };
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'leaves nothing behind when it is cut short by %s',
    async (signal) => {
      const database = await createDatabase();
      const folder = mkdtempSync(join(tmpdir(), 'latchkey-backups-'));
      const settings = settingsFor(database, { AUTH_SECRET: MASTER_SECRET });
      await runCommand('latchkey', ['migrate', 'up'], settings);
      const steps = new BackupSteps(database, settings, folder);
      await steps.takeOnBallast();

      const code = await steps.cutShort(signal);
      const left = readdirSync(folder);
      rmSync(folder, { recursive: true });
      await database.drop();

      // A signal has ended it.
      expect([code, left]).toEqual([null, []]);
    },
  );

  it('is not there when it turns out to be damaged', async () => {
    const database = await createDatabase();
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-backups-'));
    const settings = settingsFor(database, { AUTH_SECRET: MASTER_SECRET });
    await runCommand('latchkey', ['migrate', 'up'], settings);
    const file = database.url.slice('sqlite:'.length);
    const connection = new SqliteConnection(file);
    connection.exec(
      "INSERT INTO users VALUES ('user_x', 'x', 'x', '', 'x', 'x', 1, '*', NULL, '2026-03-14 09:26:53.000')",
    );
    connection.close();
    // The types of its columns (SQLite file format, section 2.1): an empty text becomes a NULL, which the schema forbids. The copy
    // takes that along, and only a check finds it.
    const [sound, damaged] = [13, 0].map((email) => Buffer.from([25, 15, 15, email, 15, 15, 9, 15, 0, 59]));
    const bytes = readFileSync(file);
    bytes.set(damaged as Buffer, bytes.indexOf(sound as Buffer));
    writeFileSync(file, bytes);

    const { code, stderr } = await runCommand('latchkey', ['backup', join(folder, 'copy.sqlite')], settings);
    const left = readdirSync(folder);
    rmSync(folder, { recursive: true });
    await database.drop();

    expect([code, left]).toEqual([1, []]);
    expect(stderr).toMatch(/the copy is damaged: NULL value in users.email/);
  });
});

(onMysql ? describe : () => undefined)('a copy of a MySQL database', () => {
  it('is left to the tools that are made for it', async () => {
    const database = await createDatabase();

    const { code, stderr } = await runCommand('latchkey', ['backup', 'x'], settingsFor(database));
    await database.drop();

    expect([code, stderr]).toEqual([1, expect.stringContaining('mariadb-dump')]);
  });

  it('takes the place of the database only if it is whole', async () => {
    const database = await createDatabase();
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-backups-'));
    const settings = await asItsOwner(database, settingsFor(database));
    await runCommand('latchkey', ['migrate', 'up'], settings);
    writeFileSync(join(folder, 'monday.sql'), 'CREATE TABLE migrations (id integer);\n');

    const stopped = await failureOf(new BackupSteps(database, settings, folder).restore());

    const tables = await database.rows('SHOW TABLES');
    await forgetOwner(database);
    await database.drop();
    rmSync(folder, { recursive: true });
    expect(stopped).toEqual([1, expect.stringMatching(/NOT RESTORED\n$/)]);
    expect(tables.length).toBeGreaterThan(5);
  });
});

function hasTable(file: string, table: string): boolean {
  const database = new SqliteConnection(file);
  try {
    return database.prepare('SELECT 1 FROM sqlite_master WHERE name = ?').all(table as never).length > 0;
  } finally {
    database.close();
  }
}
