import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { atTheConsole } from '../src/cli/operator';
import { IMPORT_BATCH_SIZE, type ImportLine, type LineOutcome, UserImport } from '../src/users/user-import';
import { startApp, MASTER_SECRET, type TestApp } from './support/app';
import { sealerBeside } from './support/audit';
import { onMysql } from './support/database';
import { describeWhereInstalled } from './support/installed';
import { fillTables } from './support/many-rows';
import { logIn, newcomer, signUp } from './support/people';
import { OperatorDesk } from './support/operator-desk';
import { quiet } from './support/quiet';
import { Program, runCommand, settingsFor } from './support/server-process';
import { accessesOf, searches, statementsDuring } from './support/statements';
import { TestFailpoints } from './support/test-failpoints';

/** Some commands are processes of their own. */
jest.setTimeout(180_000);

const PASSWORD = 'nine brass kettles';

/** All but the first are of that password. */
const HASHES = [
  '$2b$04$xcArEWSzxYR4ZRS6Sp/N7eUKC8dPxG01DvOtEXSirCDKdt.cgVpFa',
  '$scrypt$ln=8,r=8,p=1$IURIaY0xRoixNmZMyblX6g$0xGdtawnvV+B5ysaZ7i+wCK1Dc05H68y63/EEBu5ea0',
  'pbkdf2_sha256$1000$seasalt12345$gf7FNlviNLyvMUdLWIz09Sr/gdSxs1U+qw1bffyCIo0=',
  '$argon2id$v=19$m=128,t=2,p=2$xNVbtX6hmeiz6LcxChBwAg$ZcLe8d3bwfs1dULSRIU2rA',
] as const;

const person = (name: string, number = 3) => ({
  username: name,
  email: `${name}@example.com`,
  passwordHash: HASHES[number % 4] as string,
});

const toLines = (records: unknown[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join('');

const USERS = 'SELECT COUNT(*) AS n FROM users';
const IMPORTED = "SELECT COUNT(DISTINCT user_id) AS n FROM audit_events WHERE reason = 'imported'";

type Person = ReturnType<typeof person>;

const toCsv = (records: Person[]): string =>
  ['username,email,passwordHash', ...records.map((record) => `"${Object.values(record).join('","')}"`)].join(
    '\r\n',
  );

describe('an import of users', () => {
  let app: TestApp;
  let desk: OperatorDesk;
  let folder: string;
  let failpoints: TestFailpoints;
  beforeEach(async () => {
    failpoints = new TestFailpoints();
    // People sign in all the while.
    app = await startApp({ AUTH_SECRET: MASTER_SECRET, RATE_LIMITS: 'off' }, { failpoints });
    desk = new OperatorDesk(settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET }));
    folder = mkdtempSync(join(tmpdir(), 'latchkey-import-'));
  });
  afterEach(async () => {
    await desk.close();
    await app.close();
    rmSync(folder, { recursive: true });
  });

  const file = (text: string | Buffer, name = 'users.jsonl'): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const refusedIn = (path: string) =>
    readFileSync(path, 'utf8')
      .trimEnd()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { line: number; field: string; reason: string });
  const count = async (sql: string): Promise<number> => Number((await app.rows<{ n: number }>(sql))[0]?.n);

  it('makes an account of every line, with an event that says so, and of none twice', async () => {
    const users = file(toLines(Array.from({ length: 250 }, (_, index) => person(`user-${index}`, index))));

    const first = await desk.report('user', 'import', users);
    const again = await desk.report('user', 'import', users);

    expect(first.data).toEqual({ imported: 250, present: 0, refused: 0 });
    expect(again.data).toEqual({ imported: 0, present: 250, refused: 0 });
    expect(await count('SELECT COUNT(*) AS n FROM users')).toBe(250);
    expect(
      await count(
        "SELECT COUNT(*) AS n FROM audit_events WHERE type = 'account_created' AND reason = 'imported' AND ip = 'command line'",
      ),
    ).toBe(250);
  });

  it('asks for no more lines than it makes accounts at a time before it tells what became of them', async () => {
    const total = 250;
    let [asked, told, furthest] = [0, 0, 0];
    async function* lines(): AsyncGenerator<ImportLine> {
      while (asked < total) {
        asked += 1;
        yield { line: asked, record: person(`user-${asked}`, asked) };
        await Promise.resolve();
      }
    }

    for await (const outcome of app.nest.get(UserImport).importAll(lines(), atTheConsole(app.nest))) {
      expect(outcome.kind).toBe('imported');
      told += 1;
      furthest = Math.max(furthest, asked - told);
    }

    expect(told).toBe(total);
    expect(furthest).toBeLessThanOrEqual(IMPORT_BATCH_SIZE);
  });

  it('makes an account and the event that tells of it together or neither, and what failed once is simply repeated', async () => {
    const users = Array.from({ length: 150 }, (_, index) => person(`user-${index}`, index));
    const importAll = async () => {
      const lines = Readable.from(users.map((record, index) => ({ line: index + 1, record })));
      const outcomes = app.nest.get(UserImport).importAll(lines, atTheConsole(app.nest));
      return (await Readable.from(outcomes).toArray()) as LineOutcome[];
    };
    let batches = 0;
    failpoints.set((point) => {
      if (point === 'import:accounts_written') batches += 1;
      return batches === 2 ? Promise.reject(new Error('cut short')) : undefined;
    });

    await expect(importAll()).rejects.toThrow('cut short');
    const left = [await count(USERS), await count(IMPORTED)];
    failpoints.set(undefined);
    const kinds = (await importAll()).map(({ kind }) => kind);

    expect(left).toEqual([IMPORT_BATCH_SIZE, IMPORT_BATCH_SIZE]);
    expect(kinds).toEqual([
      ...Array<string>(IMPORT_BATCH_SIZE).fill('present'),
      ...Array<string>(150 - IMPORT_BATCH_SIZE).fill('imported'),
    ]);
    expect([await count(USERS), await count(IMPORTED)]).toEqual([150, 150]);
  });

  it('passes over whoever has signed in or changed the password since', async () => {
    const users = file(toLines([person('early.bird')]));
    await desk.report('user', 'import', users);
    const hash = `$argon2id$v=19$m=8,t=1,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`;
    await app.inDatabase((tx) => tx.update('User', { username: 'early.bird' }, { passwordHash: hash }));

    const { data } = await desk.report('user', 'import', users);

    expect(data).toEqual({ imported: 0, present: 1, refused: 0 });
    expect(await app.rows('SELECT password_hash FROM users')).toEqual([{ password_hash: hash }]);
  });

  it('given again later makes anew whoever was deleted or has other names, and refuses whoever has changed half or has no event', async () => {
    const names = ['deleted', 'renamed', 'half', 'pruned', 'with.id'];
    const people = names.map((name) => ({ ...person(name), password: PASSWORD }));
    const id = 'user_01kapv8s6pefr8y0h5b2e9mwkd';
    const users = file(
      toLines(names.map((name) => ({ ...person(name), ...(name === 'with.id' && { id }) }))),
    );
    const report = join(folder, 'refused.jsonl');
    await desk.report('user', 'import', users);
    const change = async (name: string, body: object) => {
      const { token } = await logIn(app, people[names.indexOf(name)] as (typeof people)[0]);
      const { status } = await app.call('PATCH', '/users/me', { token, body });
      expect(status).toBe(200);
    };
    await desk.report('user', 'delete', 'deleted');
    for (const name of ['renamed', 'with.id'])
      await change(name, { username: `${name}.anew`, email: `${name}.anew@example.com` });
    await change('half', { username: 'half.anew' });
    // It has another hash since he signed in.
    await logIn(app, people[3] as (typeof people)[0]);
    await app.rows("DELETE FROM audit_events WHERE type = 'account_created'");

    const { data } = await desk.report('user', 'import', users, '--refused', report);

    expect(data).toEqual({ imported: 2, present: 0, refused: 3 });
    expect(refusedIn(report).map(({ line, field }) => [line, field])).toEqual([
      [3, 'email'],
      [4, 'username'],
      [5, 'id'],
    ]);
    const found = await app.rows<{ username: string }>('SELECT username FROM users ORDER BY username');
    expect(found.map(({ username }) => username)).toEqual([
      'deleted',
      'half.anew',
      'pruned',
      'renamed',
      'renamed.anew',
      'with.id.anew',
    ]);
  });

  describeWhereInstalled('jq', 'of which the refused lines are given again', () => {
    it('with those alone in a file, as docs/command-line.md takes them out', async () => {
      const page = readFileSync(join(__dirname, '..', 'docs', 'command-line.md'), 'utf8');
      const [line = ''] = /^jq \.line refused\.jsonl .* > again\.jsonl$/m.exec(page) ?? [];
      const wrong = ['{"username":"x"}', 'no JSON'];
      const text = toLines([person('one'), person('two')]);
      const users = file(`${wrong[0]}\n${text}${wrong[1]}\n`);
      await desk.report('user', 'import', users, '--refused', join(folder, 'refused.jsonl'));

      execFileSync('sh', ['-c', line], { cwd: folder });

      expect(readFileSync(join(folder, 'again.jsonl'), 'utf8')).toBe(`${wrong.join('\n')}\n`);
    });
  });

  it('changes nobody who is there, and takes nobody who signed up under that name for the one of the file', async () => {
    const squatter = await signUp(app, { username: 'Sam.Hill', email: 'sam.hill@example.com' });
    const other = await signUp(app);
    const records = [
      { ...person('Sam.Hill'), email: 'sam.hill@example.com' },
      { ...person('somebody.new'), email: other.email.toUpperCase() },
      { ...person('somebody.else'), id: other.id },
    ];
    const report = join(folder, 'refused.jsonl');

    const { data, bad } = await desk.report('user', 'import', file(toLines(records)), '--refused', report);

    expect([data, bad]).toEqual([{ imported: 0, present: 0, refused: 3 }, true]);
    expect(refusedIn(report)).toEqual([
      { line: 1, field: 'username', reason: `taken by ${squatter.id}` },
      { line: 2, field: 'email', reason: `taken by ${other.id}` },
      { line: 3, field: 'id', reason: `taken by ${other.id}` },
    ]);
    await logIn(app, squatter);
  });

  it('is not done where what it refuses cannot be written down', async () => {
    const users = file(toLines([person('ab'), person('sam.hill')]));

    const { code, stdout, stderr } = await runCommand(
      'latchkey',
      ['user', 'import', users, '--refused', '/dev/full'],
      settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET }),
    );

    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/\/dev\/full cannot be written \(ENOSPC\)\.\n$/);
  });

  it.each<[string, (users: string, report: string) => void]>([
    ['a hard link to it', (users, report) => linkSync(users, report)],
    ['a symbolic link to it', (users, report) => symlinkSync(users, report)],
    ['the draft of the report', (users, report) => linkSync(users, `${report}.partial`)],
  ])('takes what is to be imported for no place to write to: %s', async (_, arrange) => {
    const text = toLines([person('ab'), person('sam.hill')]);
    const [users, report] = [file(text), join(folder, 'refused.jsonl')];
    arrange(users, report);

    await expect(desk.report('user', 'import', users, '--refused', report)).rejects.toThrow(
      /refused\.jsonl(\.partial)? is what is to be imported\./,
    );
    await expect(desk.report('user', 'import', users, '--refused', users)).rejects.toThrow(
      `${users} is what is to be imported.`,
    );

    expect(readFileSync(users, 'utf8')).toBe(text);
    expect(await count('SELECT COUNT(*) AS n FROM users')).toBe(0);
  });

  it('overwrites no report, and is repeated with the same one when it was cut short', async () => {
    const users = file(toLines([person('ab'), person('sam.hill')]));
    const report = join(folder, 'refused.jsonl');
    // Of a run that was cut short.
    writeFileSync(`${report}.partial`, '{"line": 1, "fie');

    const first = await desk.report('user', 'import', users, '--refused', report);
    const written = readFileSync(report, 'utf8');
    const second = desk.report('user', 'import', users, '--refused', report);

    await expect(second).rejects.toThrow(
      `${report} is there already; name a new file, or move that one away.`,
    );
    expect(first.data).toEqual({ imported: 1, present: 0, refused: 1 });
    expect(written).toMatch(/^\{"line":1,.*\}\n$/);
    expect(readFileSync(report, 'utf8')).toBe(written);
    expect(readdirSync(folder).sort()).toEqual(['refused.jsonl', 'users.jsonl']);
  });

  it('leaves no report that could pass for a whole one where it comes to no end', async () => {
    const report = join(folder, 'refused.jsonl');

    const cut = desk.report('user', 'import', file('username,mail\n', 'users.csv'), '--refused', report);

    await expect(cut).rejects.toThrow("The header names 'mail'");
    expect([existsSync(report), existsSync(`${report}.partial`)]).toEqual([false, true]);
  });

  it('judges a second line of one name by what became of the first', async () => {
    const records = [person('twice'), person('twice'), { ...person('TWICE'), email: 'other@example.com' }];

    const { data } = await desk.report(
      'user',
      'import',
      file(toLines(records)),
      '--refused',
      join(folder, 'r'),
    );

    expect(data).toEqual({ imported: 1, present: 1, refused: 1 });
    expect(refusedIn(join(folder, 'r'))).toMatchObject([{ line: 3, field: 'username' }]);
  });

  it.each([
    ['disabled', { disabled: true }],
    ['scopes', { scopes: ['a:b'] }],
    ['passwordHash', { passwordHash: HASHES[1] }],
  ])(
    'refuses a second line of one user that says otherwise, in whatever batch, and stays repeatable: %s',
    async (field, otherwise) => {
      const first = { ...person('twice'), scopes: ['a:b', 'c:d'] };
      const between = Array.from({ length: IMPORT_BATCH_SIZE }, (_, index) => person(`user-${index}`));
      const alike = { ...first, scopes: ['c:d', 'a:b'], disabled: false };
      const records = [first, alike, ...between, { ...first, ...otherwise }, first];
      const users = file(toLines(records));
      const report = join(folder, 'refused.jsonl');

      const { data } = await desk.report('user', 'import', users, '--refused', report);
      const again = await desk.report('user', 'import', users);

      const total = 1 + IMPORT_BATCH_SIZE;
      expect(data).toEqual({ imported: total, present: 2, refused: 1 });
      const reason = expect.stringMatching(/^user_\w{26} stands in the file twice, and not alike$/) as string;
      expect(refusedIn(report)).toEqual([{ line: total + 2, field, reason }]);
      expect(await desk.rows('user', 'export', '--with-password-hashes')).toContainEqual(
        expect.objectContaining({ ...first, disabled: false }),
      );
      // By then it may be the account that has changed.
      expect(again.data).toEqual({ imported: 0, present: records.length, refused: 0 });
    },
  );

  it('tells of every line that it refuses which field is wrong and why, and repeats no hash', async () => {
    const lines: [string | Buffer, string, RegExp][] = [
      [JSON.stringify(person('ab')), 'username', /no shorter than 3/],
      [JSON.stringify({ ...person('good.name'), email: 'nowhere' }), 'email', /e-mail address/],
      [JSON.stringify({ ...person('good.name'), passwordHash: undefined }), 'passwordHash', /string/],
      [
        JSON.stringify({ ...person('good.name'), passwordHash: 'md5$secretive' }),
        'passwordHash',
        /unknown form/,
      ],
      [JSON.stringify({ ...person('good.name'), password_hash: 'x' }), 'password_hash', /no such field/],
      [JSON.stringify({ ...person('good.name'), id: 'user_1' }), 'id', /id of a user/],
      [JSON.stringify({ ...person('good.name'), createdAt: 'yesterday' }), 'createdAt', /instant/],
      [JSON.stringify({ ...person('good.name'), createdAt: '2025-02-29T12:00:00Z' }), 'createdAt', /instant/],
      [JSON.stringify({ ...person('good.name'), disabled: 'no' }), 'disabled', /boolean/],
      [JSON.stringify({ ...person('good.name'), scopes: ['all'] }), 'scopes', /scopes/],
      ['[]', '', /JSON object/],
      ['{"username": "good.name", secretive', '', /not JSON/],
      [Buffer.from([0x7b, 0xff, 0x7d]), '', /not UTF-8/],
      [`"${'x'.repeat(100_000)}"`, '', /longer than 65536 bytes/],
    ];
    const text = Buffer.concat(lines.flatMap(([line]) => [Buffer.from(line), Buffer.from('\n')]));
    const report = join(folder, 'refused.jsonl');

    const { data } = await desk.report('user', 'import', file(text), '--refused', report);

    const refused = refusedIn(report);
    expect(data).toEqual({ imported: 0, present: 0, refused: lines.length });
    expect(refused.map(({ line }) => line)).toEqual(lines.map((_, index) => index + 1));
    expect(refused.map(({ field }) => field)).toEqual(lines.map(([, field]) => field));
    for (const [index, [, , reason]] of lines.entries()) expect(refused[index]?.reason).toMatch(reason);
    expect(readFileSync(report, 'utf8')).not.toContain('secretive');
  });

  it('reads CSV with a header, and refuses a line that does not fit it', async () => {
    const csv = [
      '\uFEFFusername,email,passwordHash,disabled,scopes,createdAt',
      `"first.one",first@example.com,"${HASHES[3]}",,,`,
      `second.one,second@example.com,"${HASHES[3]}",true,a:b users:read,2020-02-29T12:00:00Z`,
      'third.one,third@example.com',
      `fourth.one,fourth@example.com,"${HASHES[3]}",maybe,,`,
    ].join('\r\n');
    const report = join(folder, 'refused.jsonl');

    const { data } = await desk.report('user', 'import', file(csv, 'users.csv'), '--refused', report);

    expect(data).toEqual({ imported: 2, present: 0, refused: 2 });
    expect(refusedIn(report)).toMatchObject([
      { line: 4, field: '' },
      { line: 5, field: 'disabled' },
    ]);
    const rows = await desk.rows('user', 'list');
    expect(rows).toMatchObject([
      { username: 'first.one', disabled: false, scopes: ['*'] },
      {
        username: 'second.one',
        disabled: true,
        scopes: ['a:b', 'users:read'],
        createdAt: '2020-02-29T12:00:00Z',
      },
    ]);
    await expect(desk.report('user', 'import', file('username,mail\n', 'users.csv'))).rejects.toThrow(
      "The header names 'mail', which is no field",
    );
  });

  it('reads what an export has written, ids and all', async () => {
    await desk.report('user', 'import', file(toLines([person('one.more'), person('and.another', 1)])));
    await desk.report('user', 'disable', 'one.more');
    await desk.report('user', 'scopes', 'and.another', 'a:b');
    const exported = await desk.rows('user', 'export', '--with-password-hashes');
    await app.inDatabase((tx) => tx.query('DELETE FROM users'));

    const { data } = await desk.report('user', 'import', file(toLines(exported)));

    expect(data).toEqual({ imported: 2, present: 0, refused: 0 });
    expect(await desk.rows('user', 'export', '--with-password-hashes')).toEqual(exported);
  });

  it('gives nobody the id of an account that was deleted, whose events the trail keeps without their details', async () => {
    const id = 'user_01kapv8s6pefr8y0h5b2e9mwkd';
    const users = file(toLines([{ ...person('comes.again'), id }, person('bystander')]));
    const sealer = sealerBeside(app);
    const report = join(folder, 'refused.jsonl');
    await desk.report('user', 'import', users);
    await sealer.sealAll();
    await desk.report('user', 'delete', 'comes.again');
    await sealer.sealAll();

    const { data } = await desk.report('user', 'import', users, '--refused', report);
    const { data: verdict } = await desk.report('audit', 'verify');
    const anew = await desk.report('user', 'import', file(toLines([person('comes.again')])));

    expect(data).toEqual({ imported: 0, present: 1, refused: 1 });
    expect(refusedIn(report)).toEqual([
      { line: 1, field: 'id', reason: 'belonged to an account that was deleted; leave id out' },
    ]);
    expect(verdict).toMatchObject({ intact: true });
    expect(anew.data).toEqual({ imported: 1, present: 0, refused: 0 });
    expect(await desk.report('audit', 'verify')).toMatchObject({ data: { intact: true } });
  });

  it('asks once for a batch who was deleted, and finds by an index whatever it asks for', async () => {
    await newcomer(app);
    const many = { users: 2_000, sessions: 2_000, analyze: onMysql ? 'ANALYZE TABLE' : 'ANALYZE' };
    await fillTables((sql, values) => app.rows(sql, values), many);
    await quiet(app);
    const records = Array.from({ length: IMPORT_BATCH_SIZE }, (_, index) => ({
      ...person(`user-${index}`),
      id: `user_${String(index).padStart(26, '0')}`,
    }));
    const lines = Readable.from(records.map((record, index) => ({ line: index + 1, record })));

    const sent = await statementsDuring(app, () =>
      Readable.from(app.nest.get(UserImport).importAll(lines, atTheConsole(app.nest))).toArray(),
    );

    expect(sent.filter(({ sql }) => sql.includes("type = 'account_deleted'"))).toHaveLength(1);
    const plans = await Promise.all(sent.filter(searches).map((statement) => accessesOf(app, statement)));
    expect(plans.flat().filter(({ scans }) => scans)).toEqual([]);
  });

  it.each<['users.jsonl' | 'users.csv', (records: Person[]) => string]>([
    ['users.jsonl', toLines],
    ['users.csv', toCsv],
  ])(
    'is cut short at any moment and simply repeated, while people go on signing in: %s',
    async (name, written) => {
      const total = 4000;
      const records = Array.from({ length: total }, (_, index) => person(`moved-${index}`, index));
      const users = file(written(records), name);
      const settings = settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET });
      const known = await signUp(app);
      const slowest = { milliseconds: 0 };

      let landed = 0;
      for (const share of [0.1, 0.5]) {
        const command = new Program(
          [join('scripts', 'start.mjs'), 'latchkey', 'user', 'import', users],
          settings,
        );
        while (landed < total * share) {
          const begun = performance.now();
          await logIn(app, known);
          slowest.milliseconds = Math.max(slowest.milliseconds, performance.now() - begun);
          landed = await count("SELECT COUNT(*) AS n FROM users WHERE username LIKE 'moved-%'");
        }
        command.signal('SIGKILL');
        expect(await command.exit()).toBeNull();
      }
      const cut = await count("SELECT COUNT(*) AS n FROM users WHERE username LIKE 'moved-%'");
      const rest = await runCommand('latchkey', ['user', 'import', users, '--json'], settings);

      expect(cut).toBeLessThan(total);
      // Accounts and their events are there together, or neither.
      expect([rest.code, JSON.parse(rest.stdout)]).toEqual([
        0,
        { imported: total - cut, present: cut, refused: 0 },
      ]);
      for (const table of ["users WHERE username LIKE 'moved-%'", "audit_events WHERE reason = 'imported'"])
        expect(await count(`SELECT COUNT(*) AS n FROM ${table}`)).toBe(total);
      expect(slowest.milliseconds).toBeLessThan(3000);
    },
  );

  it('exits with 1 when a line was refused, reads standard input, and needs a file that is there', async () => {
    const settings = settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET });

    const some = await runCommand(
      'latchkey',
      ['user', 'import', '-'],
      settings,
      toLines([person('x'), person('yes')]),
    );
    const none = await runCommand('latchkey', ['user', 'import', join(folder, 'nothing')], settings);
    const aFolder = await runCommand('latchkey', ['user', 'import', folder], settings);
    const aFolderAsCsv = await runCommand(
      'latchkey',
      ['user', 'import', folder, '--format', 'csv'],
      settings,
    );

    expect([some.code, some.stdout]).toEqual([1, '1 imported, 0 there already, 1 refused.\n']);
    expect(some.stderr).toContain('line 1: username: username must be no shorter than 3 characters');
    expect([none.code, none.stdout]).toEqual([1, '']);
    expect(none.stderr).toMatch(/nothing cannot be read \(ENOENT\)/);
    for (const { code, stdout, stderr } of [aFolder, aFolderAsCsv])
      expect([code, stdout, stderr]).toEqual([1, '', `${folder} cannot be read (EISDIR).\n`]);
  });
});
