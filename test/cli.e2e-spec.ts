import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { COMMANDS } from '../src/cli/commands';
import { MASTER_SECRET, startApp } from './support/app';
import { createDatabase, onMysql, type TestDatabase } from './support/database';
import { runCommand, settingsFor, startServer } from './support/server-process';

describe("the operator's command line", () => {
  let database: TestDatabase;
  beforeAll(async () => (database = await createDatabase()));
  afterAll(() => database.drop());

  const latchkey = (words: string[], input: string | Buffer = '', settings: Record<string, string> = {}) =>
    runCommand('latchkey', words, settingsFor(database, settings), input);

  it('makes a user, with the password from standard input, also where sign-up is closed', async () => {
    const words = ['user', 'create', '--username', 'Op.Erator', '--email', 'op@example.com'];

    const { code, stdout } = await latchkey(words, 'a password of hers\n', { REGISTRATION: 'closed' });

    expect(code).toBe(0);
    expect(stdout).toMatch(/^Made user Op\.Erator \(user_\w{26}\)\.\n$/);
    const server = await startServer(settingsFor(database));
    const login = await fetch(`${server.url}/api/v1/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: 'op.erator', password: 'a password of hers' }),
    });
    expect(login.status).toBe(200);
    server.signal('SIGTERM');
    await server.exit();
  });

  it.each<[string, string[], string | Buffer, number, RegExp]>([
    [
      'a short password',
      ['user', 'create', '--username', 'other', '--email', 'o@example.com'],
      'x',
      1,
      /no shorter than 8/,
    ],
    [
      'a password that is not UTF-8',
      ['user', 'create', '--username', 'other', '--email', 'o@example.com'],
      Buffer.from('ni\xf1e brass kettles\n', 'latin1'),
      1,
      /not UTF-8/,
    ],
    [
      'a bad name',
      ['user', 'create', '--username', 'a b', '--email', 'o@example.com'],
      'nine brass kettles',
      1,
      /letters, digits/,
    ],
    [
      'no address',
      ['user', 'create', '--username', 'other'],
      'nine brass kettles',
      2,
      /needs --email ADDRESS/,
    ],
    [
      'a name that is taken',
      ['user', 'create', '--username', 'OP.ERATOR', '--email', 'o@example.com'],
      'nine brass kettles',
      1,
      /already taken/,
    ],
    ['an unknown user', ['user', 'disable', 'nobody'], '', 1, /There is no user 'nobody'/],
    ['no user', ['user', 'disable'], '', 2, /Name one user/],
    ['two users', ['user', 'disable', 'a', 'b'], '', 2, /Name one user/],
    ['no scopes', ['user', 'scopes', 'op.erator'], '', 2, /Name the scopes/],
    ['what is no scope', ['user', 'scopes', 'op.erator', 'a:b', 'invoices'], '', 2, /'invoices' is no scope/],
    ['a scope twice', ['user', 'scopes', 'op.erator', 'a:b', 'a:b'], '', 2, /each once/],
    ['scopes of nobody', ['user', 'scopes', 'nobody', 'a:b'], '', 1, /There is no user 'nobody'/],
    ['an unknown option', ['user', 'disable', 'a', '--now'], '', 2, /--now/],
    ['an unknown command', ['user', 'promote', 'a'], '', 2, /There is no command 'user promote'/],
  ])('refuses %s with a sentence', async (_, words, input, expected, sentence) => {
    const { code, stdout, stderr } = await latchkey(words, input);

    expect(stderr).toMatch(sentence);
    expect(stderr).not.toContain('    at ');
    expect([code, stdout]).toEqual([expected, '']);
  });

  it('says that nothing had to be done', async () => {
    expect((await latchkey(['user', 'enable', 'op.erator'])).stdout).toBe('Op.Erator was enabled already.\n');
  });

  it('sets what a user may do, for keys and sessions of a running server too', async () => {
    const server = await startServer(settingsFor(database));
    const post = async (path: string, headers: object, body: object) => {
      const response = await fetch(`${server.url}/api/v1${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      });
      return { status: response.status, body: (await response.json()) as Record<string, string> };
    };
    const login = async () => {
      const credentials = { username: 'op.erator', password: 'a password of hers' };
      return { authorization: `Bearer ${(await post('/auth/login', {}, credentials)).body['token']}` };
    };
    const made = await post('/auth/keys', await login(), { scopes: ['a:b', 'c:d'] });

    const bounded = await latchkey(['user', 'scopes', 'op.erator', 'a:b', 'introspect', '--json']);
    const refused = await post('/auth/keys', await login(), { scopes: ['c:d'] });
    const all = await latchkey(['user', 'scopes', 'op.erator', '*', 'introspect:all']);
    const granted = await post('/auth/keys', await login(), { scopes: ['introspect:all', 'c:d'] });
    server.signal('SIGTERM');
    await server.exit();

    expect(JSON.parse(bounded.stdout)).toMatchObject({
      username: 'Op.Erator',
      scopes: ['a:b', 'introspect'],
    });
    expect(all.stdout).toBe('Op.Erator may do: * introspect:all.\n');
    expect([made, refused, granted].map(({ status }) => status)).toEqual([201, 403, 201]);
  });

  it('explains itself', async () => {
    for (const words of [[], ['--help']]) {
      const { code, stdout } = await latchkey(words);

      expect(code).toBe(0);
      for (const command of [
        'user create',
        'user disable',
        'user enable',
        'user scopes',
        'audit verify',
        'audit head',
        'audit export',
      ])
        expect(stdout).toContain(command);
    }
  });

  it('makes the demo user, twice over, but not in production', async () => {
    const demo = (settings: Record<string, string> = {}) =>
      runCommand('cli/demo', [], settingsFor(database, settings));

    for (const { code, stdout } of [await demo(), await demo()]) {
      expect([code, stdout]).toEqual([0, 'The demo user: jane.doe, password tidal-lantern-47-orchid\n']);
    }
    const { code, stderr } = await demo({ NODE_ENV: 'production' });
    expect([code, stderr]).toEqual([
      1,
      'The demo user has a published password; not with NODE_ENV=production.\n',
    ]);
  });
});

(onMysql ? () => undefined : describe)('a command about what is there', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'latchkey-cli-'));
    file = join(folder, 'data', 'auth.sqlite');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const run = (words: string[], input?: string) =>
    runCommand('latchkey', words, { DATABASE_URL: `sqlite:${file}` }, input);
  const createSomebody = () =>
    run(['user', 'create', '--username', 'first', '--email', 'f@example.com'], 'a password of hers');

  it.each([[['session', 'revoke', '--all']], [['user', 'list']], [['audit', 'verify']], [['cleanup']]])(
    'makes no other database where the shell lacks the settings of the server: %j',
    async (words) => {
      const { code, stdout, stderr } = await run(words);

      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(`There is no database ${file}: set DATABASE_URL as the server has it`);
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  it('makes no other secret either, not even one that has made both', async () => {
    const first = await createSomebody();
    const secret = join(folder, 'data', 'auth-secret');
    rmSync(secret);
    const users = join(folder, 'users.jsonl');
    writeFileSync(users, '');

    const others = [
      await run(['session', 'revoke', '--all']),
      await run(['user', 'create', '--username', 'other', '--email', 'o@example.com'], 'a password of his'),
      await run(['user', 'import', users]),
    ];

    expect(first.code).toBe(0);
    for (const { code, stdout, stderr } of others) {
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(`There is no master secret ${secret}: put it back`);
    }
    expect(existsSync(secret)).toBe(false);
  });

  it('makes a secret where no event could have been sealed with another: behind migrate up', async () => {
    const up = await run(['migrate', 'up']);
    const list = await run(['user', 'list']);
    const created = await createSomebody();

    expect(up.code).toBe(0);
    expect([list.code, list.stderr]).toEqual([1, expect.stringMatching('There is no master secret')]);
    expect(created).toMatchObject({ code: 0, stderr: '' });
    expect(await run(['audit', 'verify'])).toMatchObject({ code: 0 });
  });

  it('finds by a link what the server has written and not yet put into the file itself', async () => {
    const app = await startApp();
    const link = join(folder, 'auth.sqlite');
    symlinkSync(app.database.url.slice('sqlite:'.length), link);
    await app.rows("INSERT INTO migrations (timestamp, name) VALUES (1, 'OfALaterRelease1')");

    const status = ['migrate', 'status', '--json'];
    const { stdout } = await runCommand('latchkey', status, { DATABASE_URL: `sqlite:${link}` });
    await app.close();

    expect(JSON.parse(stdout)).toMatchObject({ pending: [], unknown: ['OfALaterRelease1'] });
  });

  it('is every command that opens the services, but two', () => {
    expect(COMMANDS.filter(({ mayInitialize }) => mayInitialize).map(({ name }) => name)).toEqual([
      'user create',
      'user import',
    ]);
  });
});

describe('a command about a database that is not set up for Latchkey', () => {
  /** As TypeORM keeps those of any application. */
  const OTHERS_MIGRATIONS = [
    'CREATE TABLE migrations (id INTEGER PRIMARY KEY, timestamp BIGINT NOT NULL, name VARCHAR(255) NOT NULL)',
    "INSERT INTO migrations VALUES (1, 1700000000000, 'OfSomebodyElse1700000000000')",
  ];

  it.each([
    [['session', 'revoke', '--all'], []],
    [['user', 'list', '--json'], []],
    [['cleanup'], OTHERS_MIGRATIONS],
  ])('says so and puts nothing into it: %j, %j', async (words, others) => {
    const database = await createDatabase();
    const filling = ['CREATE TABLE of_somebody (id INT)', ...others];
    for (const statement of filling) await database.rows(statement);

    const { code, stdout, stderr } = await runCommand('latchkey', words, settingsFor(database));
    const tables = await database.rows(
      onMysql ? 'SHOW TABLES' : "SELECT name FROM sqlite_master WHERE type = 'table'",
    );
    await database.drop();

    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(
      /The database \S+ is not set up for Latchkey: set DATABASE_URL as the server has it/,
    );
    const left = tables.flatMap((row) => Object.values(row)).filter((name) => name !== 'migrations');
    expect(left).toEqual(['of_somebody']);
  });
});

describe('a command whose database fails', () => {
  it('says why, in words of the database that quote nothing', async () => {
    const app = await startApp();
    const settings = settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET });
    await app.database.rows('DROP TABLE sessions');

    const text = await runCommand('latchkey', ['session', 'revoke', '--all'], settings);
    const json = await runCommand('latchkey', ['session', 'revoke', '--all', '--json'], settings);
    await app.close();

    const reason =
      /^Service temporarily unavailable: .*(no such table: sessions|sessions' doesn't exist).*\.$/;
    expect([text.code, text.stdout, text.stderr.trimEnd()]).toEqual([1, '', expect.stringMatching(reason)]);
    const { error } = JSON.parse(json.stderr) as { error: string };
    expect([json.code, error]).toEqual([1, text.stderr.trimEnd()]);
  });
});

(onMysql ? () => undefined : describe)('a database that a command makes', () => {
  it.each<[string, string, string[], string]>([
    ['demo', 'cli/demo', [], ''],
    [
      'latchkey',
      'latchkey',
      ['user', 'create', '--username', 'first', '--email', 'f@example.com'],
      'a password of hers',
    ],
  ])("is its owner's only, whatever the folder: %s", async (_, program, words, input) => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-cli-'));
    chmodSync(folder, 0o755);

    const { code } = await runCommand(
      program,
      words,
      { DATABASE_URL: `sqlite:${join(folder, 'auth.sqlite')}` },
      input,
    );

    const modes = readdirSync(folder).map((name) => statSync(join(folder, name)).mode & 0o777);
    rmSync(folder, { recursive: true });
    expect([code, [...new Set(modes)]]).toEqual([0, [0o600]]);
  });
});
