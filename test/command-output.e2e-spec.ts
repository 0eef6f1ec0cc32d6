import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { COMMANDS } from '../src/cli/commands';
import { SystemClock } from '../src/core/clock';
import { SystemRandom } from '../src/core/random';
import { backUpSqlite } from '../src/database/sqlite-backup';
import { SqliteConnection } from '../src/database/sqlite-connection';
import { MASTER_SECRET, startApp, type TestApp } from './support/app';
import { sealByHand, sealerBeside } from './support/audit';
import { onMysql } from './support/database';
import { OperatorDesk } from './support/operator-desk';
import { createKey, newcomer, sessionIdOf } from './support/people';
import { runCommand, settingsFor } from './support/server-process';

/** Some commands are processes of their own. */
jest.setTimeout(180_000);

const HASH = '$2b$04$xcArEWSzxYR4ZRS6Sp/N7eUKC8dPxG01DvOtEXSirCDKdt.cgVpFa';

/** Each look at it is a minute after the last, so that whatever may be shown now and then is shown at once. */
class HastyClock extends SystemClock {
  private minutes = 0;

  override monotonic(): number {
    return (this.minutes += 1) * 60_000;
  }
}

let app: TestApp;
let desk: OperatorDesk;
let folder: string;
beforeAll(async () => {
  app = await startApp({ AUTH_SECRET: MASTER_SECRET, RATE_LIMITS: 'off' });
  await sealByHand(app);
  desk = new OperatorDesk(settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET }), {
    progress: new HastyClock(),
  });
});
afterAll(async () => {
  await desk.close();
  await app.close();
});

// Each begins with nobody there: to start an application for each would take longer than all of them together.
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-output-'));
  // The commands go by the true time.
  app.clock.advance((Date.now() - app.clock.now().getTime()) / 1000);
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  try {
    await app.database.search();
  } finally {
    // What belongs to an account goes with it.
    for (const table of ['users', 'revocation_entries', 'audit_events', 'password_attempts'])
      await app.rows(`DELETE FROM ${table}`);
    await app.rows(
      "UPDATE audit_chain SET sequence = 0, link = '', holder = '', lease_ends_at = '2000-01-01 00:00:00.000'",
    );
  }
});

/** A file of users, of whom the first two are refused. */
const users = (): string => {
  const file = join(folder, 'users.jsonl');
  const lines = ['x', 'y', 'moved-1', 'moved-2'].map((username) =>
    JSON.stringify({ username, email: `${username}@example.com`, passwordHash: HASH }),
  );
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
};

it('is a process that ends by itself when it is through, and need not be ended', async () => {
  const hook = join(folder, 'tell-of-exit.cjs');
  writeFileSync(
    hook,
    "const { exit } = process; process.exit = (code) => { process.stderr.write('was ended'); exit(code); };",
  );

  const settings = settingsFor(app.database, {
    AUTH_SECRET: MASTER_SECRET,
    NODE_OPTIONS: `--require ${hook}`,
  });
  const { code, stderr } = await runCommand('latchkey', ['user', 'list', '--json'], settings);

  expect([code, stderr]).toEqual([0, '']);
});

describe('a command that may take long', () => {
  /** Lists of which no row is printed. */
  const FITTING_NOTHING = / --(disabled|since)$/;
  const commands: [name: string, line: () => string[], progress: RegExp][] = [
    ['user import', () => ['user', 'import', users()], /^\d+ imported, .* at line 4$/m],
    ['user list', () => ['user', 'list'], /^2 rows$/m],
    ['user export', () => ['user', 'export'], /^2 rows$/m],
    ['user list --disabled', () => ['user', 'list', '--disabled'], /^2 rows looked at$/m],
    ['user export --disabled', () => ['user', 'export', '--disabled'], /^2 rows looked at$/m],
    ['session list', () => ['session', 'list'], /^2 rows$/m],
    ['session list --since', () => ['session', 'list', '--since', '2999-01-01'], /^2 rows looked at$/m],
    ['session revoke --all', () => ['session', 'revoke', '--all'], /^2 sessions ended$/m],
    ['key list', () => ['key', 'list'], /^1 rows$/m],
    ['key list --disabled', () => ['key', 'list', '--disabled'], /^1 rows looked at$/m],
    ['audit verify', () => ['audit', 'verify'], /^5 events verified$/m],
    ['audit export', () => ['audit', 'export'], /^5 rows$/m],
    ['cleanup', () => ['cleanup'], /^1 rows removed$/m],
  ];
  if (!onMysql) {
    commands.push(['backup', () => ['backup', join(folder, 'copy.sqlite')], /^the copy is being checked$/m]);
  }

  beforeEach(async () => {
    const { token } = await newcomer(app);
    await createKey(app, token);
    await newcomer(app);
    await sealerBeside(app).sealAll();
  });

  it.each(commands)('says how far it has come, on standard error alone: %s', async (name, line, progress) => {
    if (name === 'cleanup') await endLongAgo();
    const words = [...line(), '--json'];

    const { stdout, stderr } = await desk.written(...words);

    expect(stderr).toMatch(progress);
    const rows = stdout.split('\n').slice(0, -1);
    expect(rows.length > 0).toBe(!FITTING_NOTHING.test(name));
    for (const row of rows) expect(JSON.parse(row)).toBeInstanceOf(Object);
    expect(stdout).not.toMatch(progress);
  });

  it('tells of what it refuses on lines of its own, not behind the one that changes', async () => {
    const { isTTY } = process.stderr;
    process.stderr.isTTY = true;
    try {
      const { stderr } = await desk.written('user', 'import', users());

      const erased = '\r\u001b[K';
      expect(stderr).toContain(`${erased}0 imported, 0 there already, 1 refused, at line 1`);
      expect(stderr).toContain(`${erased}line 2: username: `);
      expect(stderr.endsWith(erased)).toBe(true);
    } finally {
      process.stderr.isTTY = isTTY;
    }
  });

  /** One session of the two. */
  const endLongAgo = async () => {
    const [session] = await app.rows<{ id: string }>('SELECT id FROM sessions LIMIT 1');
    const revokedAt = new Date(Date.now() - 2 * 24 * 3600 * 1000);
    await app.inDatabase((tx) => tx.update('Session', { id: session?.id }, { revokedAt }));
  };
});

(onMysql ? () => undefined : describe)('a copy of a long SQLite file', () => {
  it('grows before the eyes of whoever waits for it', async () => {
    const [file, target] = [join(folder, 'long.sqlite'), join(folder, 'copy.sqlite')];
    const connection = new SqliteConnection(file);
    connection.exec('CREATE TABLE long (id INTEGER PRIMARY KEY, text BLOB)');
    connection.exec(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
       INSERT INTO long SELECT i, randomblob(2000) FROM n`,
    );
    connection.close();
    const told: number[] = [];
    const worker = join(__dirname, '..', 'src', 'database', 'statement-worker.js');

    const bytes = await backUpSqlite(file, target, {
      ...{ workerFile: worker, random: new SystemRandom() },
      told: (done, total) => told.push(done / total),
    });

    expect(bytes).toBeGreaterThan(100e6);
    expect(told.filter((share) => share > 0 && share < 1).length).toBeGreaterThan(1);
    expect(told).toEqual([...told].sort((one, other) => one - other));
  });
});

describe('a list as a command prints it', () => {
  const AGENT = 'Browser\u001b[2J\nsess_made_up\u009b2J\u202e\u{e0041}';

  it.each<[string, string[], RegExp]>([
    ['user list', ['user', 'list'], /^ID +MADE +STATE +USERNAME +EMAIL$/],
    ['session list', ['session', 'list'], /^ID +USERNAME +SIGNED IN +LAST USED +ADDRESS +CLIENT$/],
    ['key list', ['key', 'list'], /^ID +USERNAME +STATE +MADE +LAST USED +NAME +SCOPES$/],
    ['user export', ['user', 'export'], /^\{"id":"user_/],
    ['audit export', ['audit', 'export'], /^\{"id":"evt_/],
  ])('is a line for each row, whatever a client has sent: %s', async (name, words, first) => {
    const person = await newcomer(app);
    await createKey(app, person.token, { name: 'Billing', scopes: ['users:read'] });
    await app.inDatabase((tx) => tx.update('Session', { id: sessionIdOf(person) }, { userAgent: AGENT }));
    await app.inDatabase((tx) => tx.query('UPDATE audit_events SET digest = NULL, user_agent = ?', [AGENT]));
    await sealerBeside(app).sealAll();

    const text = await desk.written(...words);
    const json = await desk.written(...words, '--json');

    expect((text.stderr + json.stderr).replace(/^\d+ rows( looked at)?\n/gm, '')).toBe('');
    const lines = text.stdout.trimEnd().split('\n');
    const rows = json.stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(first);
    expect(lines.slice(/list/.test(name) ? 1 : 0)).toHaveLength(rows.length);
    expect(text.stdout + json.stdout).not.toMatch(/[^\n\P{C}]/u);
    const ids = rows.map((row) => (JSON.parse(row) as { id: string }).id);
    for (const [index, id] of ids.entries()) {
      expect(id).toMatch(/^(user|sess|key|evt)_\w{26}$/);
      expect(lines.at(index - ids.length)).toContain(id);
    }
    if (name === 'session list') {
      expect(lines[1]).toMatch(/ Browser\uFFFD\[2J\uFFFDsess_made_up\uFFFD2J\uFFFD\uFFFD$/);
      expect(JSON.parse(rows[0] ?? '')).toMatchObject({ userAgent: AGENT });
    }
  });
});

describe('what goes wrong beside a command', () => {
  // Nobody listens there.
  const REDIS_URL = 'redis://127.0.0.1:1';
  const LOGGED = /^\{"level":"warn",.*Redis does not answer as it should/;
  const settings = () => settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET, REDIS_URL });

  it.each([
    [['user', 'export'], /^\{"id":"user_.*\}$/],
    [['user', 'list', '--json'], /^\{"id":"user_.*\}$/],
    [['user', 'list'], /^(ID|user_\w{26}) /],
  ])('is logged to standard error, and standard output holds rows alone: %j', async (words, row) => {
    await newcomer(app);
    await newcomer(app);

    const { code, stdout, stderr } = await runCommand('latchkey', words, settings());

    expect([code, stderr]).toEqual([0, expect.stringMatching(LOGGED)]);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.filter((line) => !row.test(line))).toEqual([]);
    expect(lines.length).toBeGreaterThanOrEqual(2);
  });

  it('is logged to standard error by the command that makes the demo user as well', async () => {
    const { code, stdout, stderr } = await runCommand('cli/demo', [], settings());

    expect([code, stderr]).toEqual([0, expect.stringMatching(LOGGED)]);
    expect(stdout).toMatch(/^The demo user: .*\n$/);
  });
});

describe('a command whose words cannot be written', () => {
  const settings = () => settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET });
  /** Runs a program with what a shell does to its streams, and tells what is left of them. */
  const inShell = async (program: string, words: string[], redirected: string) => {
    const script = `exec "$0" scripts/start.mjs "$@" ${redirected}`;
    const child = spawn('sh', ['-c', script, process.execPath, program, ...words], {
      cwd: join(__dirname, '..'),
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...settings() },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let written = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (written += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, written };
  };

  it.each([
    ['on a full disk', '2>/dev/full', 1],
    // The code is that of `true`.
    ['where nobody reads', '2>&1 | true', 0],
  ])('goes on to the end where they are complaints: %s', async (_, redirected, expected) => {
    const people = Array.from({ length: 30 }, (_, index) => [index < 25 ? 'x' : `moved-${index}`, index]);
    const file = join(folder, 'users.jsonl');
    const lines = people.map(([username, index]) =>
      JSON.stringify({ username, email: `${index}@example.com`, passwordHash: HASH }),
    );
    writeFileSync(file, `${lines.join('\n')}\n`);

    const { code, written } = await inShell('latchkey', ['user', 'import', file], redirected);

    expect(await app.rows('SELECT id FROM users')).toHaveLength(5);
    expect([code, written]).toEqual([
      expected,
      expected === 1 ? '5 imported, 0 there already, 25 refused.\n' : '',
    ]);
  });

  const SENTENCE = 'Standard output cannot be written (ENOSPC).';
  it.each([
    ['latchkey', ['user', 'list', '--json'], JSON.stringify({ error: SENTENCE })],
    ['latchkey', ['user', 'list'], SENTENCE],
    ['latchkey', ['audit', 'head'], SENTENCE],
    ['latchkey', ['help'], SENTENCE],
    ['cli/demo', [], SENTENCE],
  ])('says so where they are its answer, with exit code 1: %s %j', async (program, words, expected) => {
    await newcomer(app);

    const answer = await inShell(program, words, '>/dev/full');

    expect(answer).toEqual({ code: 1, written: `${expected}\n` });
  });
});

describe('every command with --json', () => {
  const NEW_PASSWORD = 'nine kettles and a lantern';
  /** What stands behind each command. Those that read a password are processes. */
  const lines: Record<string, (of: { username: string; keyId: string }) => string[]> = {
    'user create': () => ['--username', 'somebody.new', '--email', 'somebody.new@example.com'],
    'user set-password': ({ username }) => [username],
    'user show': ({ username }) => [username],
    'user disable': ({ username }) => [username],
    'user enable': ({ username }) => [username],
    'user delete': ({ username }) => [username],
    'user scopes': ({ username }) => [username, 'a:b'],
    'user list': () => [],
    'user export': () => [],
    'user import': () => [users()],
    'session list': () => [],
    'session revoke': () => ['--all'],
    'key list': () => [],
    'key disable': ({ keyId }) => [keyId],
    'audit verify': () => [],
    'audit head': () => [],
    'audit export': () => [],
    'migrate status': () => [],
    'migrate up': () => [],
    cleanup: () => [],
    backup: () => [join(folder, 'copy.sqlite')],
    'config check': () => [],
    doctor: () => [],
  };
  const settings = () => settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET });
  const expectObjects = (text: string) => {
    expect(text).toMatch(/\n$/);
    for (const line of text.trimEnd().split('\n')) expect(JSON.parse(line)).toBeInstanceOf(Object);
  };

  it('is in this table', () => {
    expect(Object.keys(lines).sort()).toEqual(COMMANDS.map(({ name }) => name).sort());
  });

  const possible = Object.keys(lines).filter((name) => !(onMysql && name === 'backup'));

  it.each(possible)('prints one JSON object on each line, and nothing else: %s', async (name) => {
    const person = await newcomer(app);
    const { keyId } = await createKey(app, person.token);
    const words = [...name.split(' '), ...(lines[name]?.({ ...person, keyId }) ?? []), '--json'];
    await sealerBeside(app).sealAll();

    const readsPassword = ['user create', 'user set-password'].includes(name);
    const { stdout } = readsPassword
      ? await runCommand('latchkey', words, settings(), `${NEW_PASSWORD}\n`)
      : await desk.written(...words);

    expectObjects(stdout);
  });

  it.each<[string, string[]]>([
    ['a line that is not understood', ['user', 'list', '--no-such-option']],
    ['somebody who is not there', ['user', 'show', 'nobody']],
    ...(onMysql
      ? [['a copy of what is no file', ['backup', 'copy.sqlite']] satisfies [string, string[]]]
      : []),
  ])('says on standard error, as an object too, what is wrong: %s', async (_, words) => {
    const { code, stdout, stderr } = await runCommand('latchkey', [...words, '--json'], settings());

    expect(code).toBeGreaterThan(0);
    expect(stdout).toBe('');
    expectObjects(stderr);
    expect(JSON.parse(stderr)).toEqual({ error: expect.stringMatching(/\w/) as string });
  });
});
