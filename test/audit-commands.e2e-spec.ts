import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Transactions } from '../src/database/transactions';
import { MASTER_SECRET, startApp, type TestApp } from './support/app';
import { sealByHand, sealerBeside } from './support/audit';
import { newcomer } from './support/people';
import { Program, runCommand } from './support/server-process';

/** Each command is a process of its own. */
jest.setTimeout(120_000);

describe("the operator's audit commands", () => {
  let app: TestApp;
  let folder: string;
  beforeAll(async () => {
    app = await startApp({ AUTH_SECRET: MASTER_SECRET });
    await sealByHand(app);
    folder = mkdtempSync(join(tmpdir(), 'latchkey-heads-'));
    for (let count = 0; count < 3; count += 1) await newcomer(app);
    await sealerBeside(app).sealAll();
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await app.close();
  });

  const settings = () => {
    const { database } = app.config;
    const url =
      database.engine === 'sqlite'
        ? `sqlite:${database.file}`
        : `mysql://${database.user}:${database.password}@${database.host}:${database.port}/${database.database}`;
    return { DATABASE_URL: url, AUTH_SECRET: MASTER_SECRET };
  };
  const audit = (...words: string[]) => runCommand('latchkey', ['audit', ...words], settings());
  const file = (text: string): string => {
    const path = join(folder, 'head');
    writeFileSync(path, text);
    return path;
  };
  const alter = (type: string) =>
    app.nest
      .get(Transactions)
      .run((tx) => tx.query('UPDATE audit_events SET type = ? WHERE sequence = 6', [type]));

  const headIn = (line: string): string => {
    const { sequence, link } = JSON.parse(line) as { sequence: number; link: string };
    return `${sequence}:${link}`;
  };
  const putBack = async (rows: Record<string, unknown>[]) => {
    for (const row of rows) {
      const places = Object.keys(row).map(() => '?');
      await app.rows(
        `INSERT INTO audit_events (${Object.keys(row).join(', ')}) VALUES (${places.join(', ')})`,
        Object.values(row),
      );
    }
  };

  it('say that the trail is intact, how far it goes, and what is not sealed yet', async () => {
    await newcomer(app);

    const text = await audit('verify');
    const json = await audit('verify', '--json');

    expect([text.code, text.stderr]).toEqual([0, '']);
    expect(text.stdout).toMatch(
      /^Intact: 6 sealed events, 2 more wait to be sealed\.\nHead: 6:[0-9a-f]{64}\n$/,
    );
    expect(json.code).toBe(0);
    expect(JSON.parse(json.stdout)).toMatchObject({ intact: true, fault: null, verified: 6, unsealed: 2 });
  });

  it('look and do not touch: nothing is sealed by them', async () => {
    await audit('verify');

    expect(await app.rows('SELECT id FROM audit_events WHERE sequence IS NULL')).toHaveLength(2);
  });

  it('take a head in each form in which they give one out', async () => {
    const head = await audit('head');
    const json = await audit('head', '--json');
    const events = await audit('export');

    expect(head.stdout).toMatch(/^6:[0-9a-f]{64}\n$/);
    for (const given of [head.stdout.trim(), file(head.stdout), file(json.stdout), file(events.stdout)]) {
      const { code, stdout } = await audit('verify', '--head', given, '--after', given, '--json');
      expect([code, JSON.parse(stdout)]).toMatchObject([0, { verified: 0, head: { sequence: 6 } }]);
    }
  });

  it('take a head at the end of an export however long it is', async () => {
    const head = (await audit('head')).stdout;
    const long = file('');
    // More than a text may have characters; it takes no room on the disk.
    truncateSync(long, 600 * 1024 * 1024);
    appendFileSync(long, `\n${head}\n`);

    const { code, stdout, stderr } = await audit('verify', '--head', long, '--json');

    expect([code, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toMatchObject({ intact: true, head: { sequence: 6 } });
  });

  it('tell a file that cannot be read from one without a head', async () => {
    const { code, stdout, stderr } = await audit('verify', '--head', folder);

    expect([code, stdout, stderr]).toEqual([1, '', `--head: ${folder} cannot be read (EISDIR).\n`]);
  });

  it('export the sealed events as JSON lines, without what must go with the account', async () => {
    const { code, stdout } = await audit('export');

    const lines = stdout.trimEnd().split('\n');
    const rows = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(code).toBe(0);
    expect(rows.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(Object.keys(rows[0] ?? {}).sort()).toEqual(
      ['credentialId', 'digest', 'id', 'ip', 'link', 'occurredAt', 'reason', 'requestId', 'sequence'].concat([
        'type',
        'userAgent',
        'userId',
      ]),
    );
    const { link, sequence } = rows[3] ?? {};
    const rest = await audit('export', '--after', `${String(sequence)}:${String(link)}`);
    expect(rest.stdout).toBe(`${lines.slice(4).join('\n')}\n`);
  });

  it.each([
    ['whose link is another one', 4],
    ['that is the last, with another link', 6],
    ['that is further than the trail', 9],
  ])('export nothing behind a head of another trail: one %s', async (_, sequence) => {
    const head = `${sequence}:${'0'.repeat(64)}`;

    const sealed = await audit('export', '--after', head);
    const whole = await audit('export', '--after', head, '--unsealed');

    for (const { code, stdout, stderr } of [sealed, whole]) {
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/ not the one that head number \d was taken from, .* Begin a new file/);
    }
  });

  it('export nothing behind a head whose next events are gone, and say from where on they are there', async () => {
    const heads = (await audit('export')).stdout.trimEnd().split('\n').map(headIn);
    const rows = await app.rows<Record<string, unknown>>(
      'SELECT * FROM audit_events WHERE sequence IS NOT NULL',
    );
    const removeTo = (last: number) =>
      app.inDatabase((tx) => tx.query('DELETE FROM audit_events WHERE sequence <= ?', [last]));

    await removeTo(3);
    const behindFirst = await audit('export', '--after', heads[0] ?? '');
    const behindLastRemoved = await audit('export', '--after', heads[2] ?? '');
    await removeTo(6);
    const noneLeft = await audit('export', '--after', heads[3] ?? '');
    const end = await audit('export', '--after', heads[5] ?? '');
    await putBack(rows);

    expect([behindFirst.code, behindFirst.stdout]).toEqual([1, '']);
    expect(behindFirst.stderr).toContain(
      'behind number 1 have been removed; they are there from number 4 on',
    );
    expect(behindLastRemoved.code).toBe(0);
    expect(behindLastRemoved.stdout.trimEnd().split('\n').map(headIn)).toEqual(heads.slice(3));
    expect([noneLeft.code, noneLeft.stdout]).toEqual([1, '']);
    expect(noneLeft.stderr).toContain('behind number 4 have been removed; none is there');
    expect([end.code, end.stdout]).toEqual([0, '']);
    expect((await audit('verify')).code).toBe(0);
  });

  it('say how many events an export leaves out because they wait to be sealed, or print them too, before the others', async () => {
    const [text, json] = [await audit('export'), await audit('export', '--json')];
    const whole = await audit('export', '--unsealed', '--json');

    const warning = 'Events that wait to be sealed and are left out: 2; --unsealed prints them too.';
    expect(text.stderr).toBe(`${warning}\n`);
    expect(JSON.parse(json.stderr)).toEqual({ warning, unsealed: 2 });
    expect([whole.code, whole.stderr]).toEqual([0, '']);
    expect(whole.stdout.endsWith(text.stdout)).toBe(true);
    const waiting = whole.stdout.slice(0, -text.stdout.length).trimEnd().split('\n');
    expect(waiting.map((line) => JSON.parse(line) as object)).toMatchObject([
      { type: 'account_created', sequence: null, link: null },
      { type: 'signed_in', reason: 'new_device', sequence: null, link: null },
    ]);
    expect(whole.stdout).not.toContain('"salt"');
  });

  it('name the first event that is wrong, and exit with 1, also where nobody reads it', async () => {
    const [row] = await app.rows<{ id: string; type: string }>(
      'SELECT * FROM audit_events WHERE sequence = 6',
    );
    await alter('account_enabled');

    const text = await audit('verify');
    const json = await audit('verify', '--json');
    const unread = new Program([join('scripts', 'start.mjs'), 'latchkey', 'audit', 'verify'], settings());
    unread.stopReading();
    const unreadCode = await unread.exit();
    await alter(row?.type ?? '');

    expect([text.code, json.code, unreadCode]).toEqual([1, 1, 1]);
    expect(text.stdout).toContain(`Broken. Event number 6 (${row?.id}) is not the one that was recorded`);
    expect(JSON.parse(json.stdout)).toMatchObject({
      intact: false,
      verified: 5,
      fault: { kind: 'altered', sequence: 6, eventId: row?.id },
    });
  });

  it('miss a tail that an exported head knows of', async () => {
    const { code, stdout } = await audit('verify', '--head', `9:${'0'.repeat(64)}`);

    expect(code).toBe(1);
    expect(stdout).toContain('Broken. Event number 7 and all behind it are missing');
  });

  it.each([
    ['a head that is none', ['verify', '--head', '12'], /neither SEQUENCE:LINK nor a file that is there/],
    ['a file without a head', ['verify', '--head', join(__dirname, '..', 'package.json')], /no head in/],
    ['a word too many', ['verify', 'everything'], /'everything' has no meaning/],
    ['an unknown option', ['export', '--all'], /--all/],
    ['an unknown command', ['prune'], /There is no command 'audit prune'/],
  ])('refuse %s with a sentence and exit with 2', async (_, words, sentence) => {
    const { code, stdout, stderr } = await audit(...words);

    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(sentence);
  });

  it('have a script of their own', () => {
    const { scripts } = JSON.parse(readFileSync(join(__dirname, '..', 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };

    expect(scripts['audit:verify']).toBe(`${scripts['latchkey']} audit verify`);
  });
});
