import { execFileSync, spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { SecurityEvent } from '../src/audit/security-event';
import { parseLine } from '../src/cli/command-line';
import { parse } from 'yaml';
import { COMMANDS } from '../src/cli/commands';
import { asksForHelp, usageOf } from '../src/cli/help';
import { mayBeFile } from '../src/config/load-config';
import { type SettingName, SETTINGS } from '../src/config/settings';
import type { ResponseObject } from '@nestjs/swagger';
import { API_ERRORS, type ErrorCode } from '../src/core/errors';
import { migrations } from '../src/database/migrations';
import { API_KEY_PATTERN, ApiKeyFormat } from '../src/crypto/api-key-format';
import { newSecret } from './support/app';
import { callApi } from './support/call';
import { openApiDocument } from './support/contract';
import { type AttemptLimit, LIMITS, type WindowLimit } from '../src/rate-limit/limits';
import { IMPORTED_FIELDS } from '../src/users/imported-user';
import { createDatabase } from './support/database';
import { describeWhereInstalled } from './support/installed';
import { tableRows } from './support/markdown';
import { runCommand, settingsFor, startServer } from './support/server-process';
import { testNames } from './support/spec-names';

const root = join(__dirname, '..');
const read = (name: string): string => readFileSync(join(root, name), 'utf8');
const readme = read('README.md');

/** The part of README under a heading. */
function section(heading: string): string {
  const begin = readme.indexOf(`## ${heading}\n`);
  if (begin === -1) throw new Error(`README has no section ${heading}`);
  const end = readme.indexOf('\n## ', begin + 1);
  return readme.slice(begin, end === -1 ? undefined : end);
}

/** Fenced blocks: language and text. */
const blocks = (text: string): { language: string; text: string }[] =>
  [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = '', block = '']) => ({
    language,
    text: block,
  }));

/** README and every page of a folder, with those of the folders in it. */
const pages = (folder: string): string[] => [
  'README.md',
  ...readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name)),
];

/** What differs from run to run, and what README cuts short. */
const withoutChance = (text: string): string =>
  text
    .replace(/\b(user|key|sess)_[0-9a-z]{26}/g, '$1_id')
    .replace(/"(exp|iat)":\d+/g, '"$1":0')
    .replace(/eyJ[^"]*/g, 'jwt')
    .replace(/rt_[^"]*/g, 'rt')
    .replace(/dt_[^"]*/g, 'dt')
    .replace(/sk_live_[^"]*/g, 'key')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, 'instant')
    // Uses are written down after a while, which a slow reader may see.
    .replace('"lastUsed":"instant"', '"lastUsed":null')
    .trim();

describe('README', () => {
  it('lists every setting with its default and its meaning', () => {
    const expected = (Object.keys(SETTINGS.shape) as SettingName[]).map((name) => {
      const meta = SETTINGS.shape[name].meta() as { default: string; description: string };
      return [`\`${name}\``, meta.default, meta.description];
    });

    expect(tableRows(section('Settings'))).toEqual(expected);
  });

  it('names the settings that may come from a file', () => {
    const [, named] = section('Settings').match(/Secrets (.*?) can also/s) ?? [];

    const expected = (Object.keys(SETTINGS.shape) as SettingName[]).filter(mayBeFile);
    expect([...(named ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name).sort()).toEqual(expected.sort());
  });

  it('has every room of src on its map, and no other', () => {
    const onMap = tableRows(section('How it is built')).map(([name]) => name?.replace(/[`/]/g, ''));

    expect(onMap.sort()).toEqual(readdirSync(join(root, 'src')).sort());
  });

  it.each([
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'SECURITY.md',
    'docs/security.md',
    'docs/operations.md',
    'docs/operations/monitoring.md',
    'docs/operations/faults.md',
    'docs/operations/upgrade.md',
    'docs/api-keys.md',
    'docs/asvs.md',
    'docs/scaling.md',
    'docs/performance.md',
    'docs/inventory.md',
    'docs/command-line.md',
    'docs/backup.md',
    'docs/sessions.md',
    'docs/clients.md',
  ])('and the pages it leads to have no dead links: %s', (page) => {
    const targets = [...read(page).matchAll(/\]\(([^)#]+)[^)]*\)/g)].map(([, target]) => target as string);
    const local = targets.filter((target) => !target.startsWith('http'));

    expect(local.filter((target) => !existsSync(join(root, page, '..', target)))).toEqual([]);
  });

  describeWhereInstalled('curl', 'the commands of README', () => {
    it('shows what the commands print: start, demo, and every curl in its turn', async () => {
      const database = await createDatabase();
      const settings = settingsFor(database);
      const server = await startServer(settings);
      try {
        const [start, demo] = blocks(section('Start')).filter(({ language }) => language === 'text');
        const shown = start?.text
          .replaceAll('http://127.0.0.1:3000', server.url)
          .replace(/(Data +).*/, '$1…');
        expect(server.stdout.trim().replace(/(Data +).*/, '$1…')).toBe(shown?.trim());
        expect((await runCommand('cli/demo', [], settings)).stdout).toBe(demo?.text);

        const turns = blocks(section('Five minutes with curl'));
        const commands = turns.filter(({ language }) => language === 'sh').map(({ text }) => text);
        const folder = mkdtempSync(join(tmpdir(), 'latchkey-readme-'));
        const script = join(folder, 'paste.sh');
        const mark = '===== next =====\n';
        const pasted = commands
          .join(`echo; echo '${mark.trim()}'\n`)
          .replaceAll('http://127.0.0.1:3000', server.url);
        writeFileSync(script, pasted);
        const printed = execFileSync('sh', [script], { encoding: 'utf8' }).split(mark);
        rmSync(folder, { recursive: true });

        expect(printed).toHaveLength(commands.length);
        const expected = commands.map((text) => {
          const next = turns[turns.findIndex((turn) => turn.text === text) + 1];
          return next && next.language !== 'sh' ? next.text : '';
        });
        expect(printed.map(withoutChance)).toEqual(expected.map(withoutChance));
      } finally {
        server.signal('SIGTERM');
        await server.exit();
        await database.drop();
      }
    }, 60_000);
  });

  it('promises Node versions that package.json allows', () => {
    expect(section('Start')).toContain('20 (20.19 or newer), 22 or 24');
    expect(JSON.parse(read('package.json'))).toMatchObject({
      engines: { node: '>=20.19' },
      version: '0.1.0',
    });
    expect(section('Start')).toContain('Latchkey 0.1.0 is ready.');
  });
});

describe('docs/sessions.md', () => {
  const page = read('docs/sessions.md');
  const rulesOf = (text: string) => /^1\. Send one refresh[\s\S]*?\n(?=\n)/m.exec(text)?.[0];

  it('gives the same rules as README', () => {
    expect(rulesOf(page)).toMatch(/\n4\. /);
    expect(rulesOf(page)).toBe(rulesOf(readme));
  });

  it('says of every 401 what to do', () => {
    const unauthorized = (Object.keys(API_ERRORS) as ErrorCode[]).filter(
      (code) => API_ERRORS[code].status === 401,
    );
    const rows = tableRows(page.slice(page.indexOf('## Which 401 is which')));
    const listed = rows.flatMap(([, codes = '']) => codes.replaceAll('`', '').split(', '));

    expect(listed.sort()).toEqual(unauthorized.sort());
  });
});

describe('docs/operations/upgrade.md', () => {
  it('migrates as another user where the shell has the settings of the service', async () => {
    const [command = ''] = /^DATABASE_URL.* migrate up$/m.exec(read('docs/operations/upgrade.md')) ?? [];
    const database = await createDatabase();
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-upgrade-'));
    const file = join(folder, 'admin-database-url');
    writeFileSync(file, database.url);
    const ofTheService = {
      ...settingsFor(database),
      DATABASE_URL: 'mysql://latchkey:x@127.0.0.1:1/latchkey',
    };

    const { status, stderr } = spawnSync('sh', ['-ec', command.replace('/root/admin-database-url', file)], {
      ...{ cwd: root, env: { ...process.env, ...ofTheService }, encoding: 'utf8' },
    });
    const applied = await database.rows('SELECT name FROM migrations');
    await database.drop();
    rmSync(folder, { recursive: true });

    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(applied).toHaveLength(migrations.length);
  }, 60_000);
});

describe('docs/operations.md', () => {
  it('lists every limit with what it counts, how many, and why', () => {
    const page = read('docs/operations.md');
    const begin = page.indexOf('## Limits\n');
    const listed = tableRows(page.slice(begin, page.indexOf('\n## ', begin + 1)));

    const expected = Object.entries<AttemptLimit | WindowLimit>(LIMITS).map(([name, limit]) => [
      `\`${name}\``,
      limit.counts,
      limit.kind === 'window'
        ? `${limit.points} in ${inWords(limit.seconds)}`
        : `${limit.points} in a row; then after pauses that double from 1 s to ${inWords(limit.longestPause)}; ${limit.most} in ${inWords(limit.seconds)}`,
      limit.why,
    ]);
    expect(expected.length).toBeGreaterThan(5);
    expect(listed).toEqual(expected);
  });
});

/** A span as people say it. */
function inWords(seconds: number): string {
  const unit = (
    [
      [3600, 'h'],
      [60, 'min'],
      [1, 's'],
    ] as const
  ).find(([length]) => seconds % length === 0);
  return `${seconds / (unit?.[0] ?? 1)} ${unit?.[1]}`;
}

describe('docs/command-line.md', () => {
  const page = read('docs/command-line.md');

  /** The table under a heading. */
  const tableUnder = (heading: string): string[][] => {
    const begin = page.indexOf(`## ${heading}\n`);
    return tableRows(page.slice(begin, page.indexOf('\n## ', begin + 1)));
  };

  it('lists every command with its options and what it does, and no other', () => {
    const expected = COMMANDS.map((command) => [`\`${usageOf(command)}\``, command.summary]);

    expect(tableUnder('Commands')).toEqual(expected);
  });

  it('lists every field that an import knows, and no other', () => {
    const fields = tableUnder('Moving users in').map(([name]) => name?.replaceAll('`', ''));

    expect(fields).toEqual([...IMPORTED_FIELDS]);
  });

  it.each([
    ...['README.md', 'docs/command-line.md', 'docs/operations.md', 'docs/operations/upgrade.md'],
    ...['docs/backup.md', 'docs/api-keys.md'],
  ])('and every other page shows commands that are understood: %s', (name) => {
    const shown = blocks(read(name))
      .filter(({ language }) => language === 'sh')
      .flatMap(({ text }) => [
        ...text.matchAll(/(?:run(?: --silent)? latchkey --|(?:app|latchkey|--) latchkey) ([^|<>)#\n]+)/g),
      ])
      .map(([, line = '']) => line.trim().split(' '))
      .filter((line) => !asksForHelp(line));

    for (const line of shown) expect(() => parseLine(line, COMMANDS)).not.toThrow();
  });

  it.each(pages('docs'))('and every other page keeps what npm prints out of files and pipes: %s', (name) => {
    const kept = blocks(read(name))
      .filter(({ language }) => language === 'sh')
      .flatMap(({ text }) => text.match(/npm run (?!--silent )[^#\n|]* (?:>|\|).*/g) ?? []);

    expect(kept).toEqual([]);
  });
});

describe('docker compose, wherever a page shows it', () => {
  const { services } = parse(read('docker-compose.yml')) as {
    services: Record<string, { environment?: Record<string, string>; volumes: string[] }>;
  };
  /** Of each line: subcommand, options, the service, and what is run in it. */
  const shown = pages('docs').flatMap((page) =>
    blocks(read(page))
      .filter(({ language }) => language === 'sh')
      .flatMap(({ text }) => [
        ...text.matchAll(/docker compose (\w+)((?: -[-\w]+)*)(?: (\w+))?(?: ([^|>)#\n][^\n]*))?/g),
      ])
      .map(([line, subcommand = '', options = '', service = '', inside = '']) => ({
        ...{ page, line, subcommand, options, service, inside },
      })),
  );

  it('names services that there are, with the subcommands that take one', () => {
    const odd = shown.filter(
      ({ subcommand, service }) =>
        !['build', 'exec', 'run', 'stop', 'up'].includes(subcommand) ||
        (service !== '' && !(service in services)),
    );

    expect(shown.length).toBeGreaterThan(10);
    expect(odd).toEqual([]);
  });

  it('asks for no terminal where files and pipes take its place', () => {
    const piped = shown.filter(({ inside }) => / [<>|] /.test(inside));

    expect(piped.length).toBeGreaterThan(3);
    expect(piped.filter(({ options }) => !options.includes(' -T'))).toEqual([]);
  });

  it('runs what is in those containers, as the user and with the files that they have', () => {
    const { MYSQL_USER, MYSQL_DATABASE, MYSQL_PASSWORD_FILE } = services['mysql']?.environment ?? {};
    const inMysql = shown.filter(({ service, inside }) => service === 'mysql' && inside !== '');
    const inApp = shown.filter(({ service, inside }) => service === 'app' && inside !== '');

    for (const { inside } of inMysql) {
      const [, program, words = ''] = /^sh -c 'exec (mysql|mysqldump) (.*)'/.exec(inside) ?? [];
      expect([inside, program]).toEqual([inside, expect.any(String) as string]);
      expect(words).toContain(`--user=${MYSQL_USER} --password="$(cat ${MYSQL_PASSWORD_FILE})"`);
      expect(words.endsWith(` ${MYSQL_DATABASE}`) || words.includes(` DATABASE ${MYSQL_DATABASE}`)).toBe(
        true,
      );
    }
    expect([inMysql.length, inApp.length]).toEqual([4, expect.any(Number) as number]);
    const secret = services['app']?.environment?.['AUTH_SECRET_FILE'];
    expect(
      inApp.filter(({ inside }) => !inside.startsWith('latchkey ') && !inside.startsWith(`cat ${secret} `)),
    ).toEqual([]);
  });

  it('has stopped the service before a restore, and asks no container of it that is gone', () => {
    const restore = shown.filter(({ page }) => page === 'docs/backup.md');
    const stopped = restore.slice(restore.findIndex(({ line }) => line === 'docker compose stop app') + 1);

    expect(stopped.length).toBeGreaterThan(5);
    expect(stopped.filter(({ subcommand, service }) => service === 'app' && subcommand === 'exec')).toEqual(
      [],
    );
    const steps = stopped.map(({ inside }) => inside.split(' ').slice(0, 3).join(' '));
    expect(steps.indexOf('latchkey session revoke')).toBeGreaterThan(steps.lastIndexOf("sh -c 'exec"));
  });
});

/**
 * What a restore makes of what each event has taken away: an operator does it `again`, it is gone with all `sessions`, or the event takes
 * nothing away. Whoever adds an event sorts it here, and what is to be done again has a row in docs/backup.md.
 */
const AFTER_A_RESTORE: Record<SecurityEvent['type'], 'again' | 'sessions' | 'nothing'> = {
  account_created: 'nothing',
  account_deleted: 'again',
  account_disabled: 'again',
  account_enabled: 'nothing',
  account_scopes_changed: 'again',
  // Names and addresses open nothing by themselves.
  profile_changed: 'nothing',
  password_changed: 'again',
  password_rejected: 'nothing',
  breach_check_failed: 'nothing',
  signed_in: 'nothing',
  sign_in_failed: 'nothing',
  signed_out: 'sessions',
  session_ended: 'sessions',
  sessions_ended: 'sessions',
  refresh_token_reused: 'sessions',
  limit_reached: 'nothing',
  api_key_created: 'nothing',
  api_key_changed: 'again',
  api_key_enabled: 'nothing',
  api_key_disabled: 'again',
  api_key_rotated: 'again',
  api_key_reported: 'again',
  api_key_old_secret_reported: 'again',
  api_key_deleted: 'again',
  access_refused: 'nothing',
};

describe('docs/backup.md', () => {
  const page = read('docs/backup.md');
  const types = Object.keys(AFTER_A_RESTORE) as SecurityEvent['type'][];
  const sorted = (kind: 'again' | 'sessions') =>
    types.filter((type) => AFTER_A_RESTORE[type] === kind).sort();

  it('takes out what is about to be lost once, and a restore that is begun again replaces none of it', () => {
    const blocks = read('docs/backup.md').match(/\(\n +umask 077\n +set -C\n[^)]*\)/g) ?? [];
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-lost-'));
    for (const name of ['npm', 'docker'])
      writeFileSync(join(folder, name), '#!/bin/sh\necho of the backup\n', { mode: 0o755 });
    const kept = join(folder, 'lost-events.jsonl');
    const env = { ...process.env, PATH: `${folder}:${process.env['PATH']}` };
    writeFileSync(kept, 'of the old database');

    for (const block of blocks) spawnSync('sh', ['-c', block], { cwd: folder, env });

    expect(blocks).toHaveLength(3);
    expect(readFileSync(kept, 'utf8')).toBe('of the old database');
    expect(readFileSync(join(folder, 'lost-keys.jsonl'), 'utf8')).toBe('of the backup\n');
    rmSync(folder, { recursive: true });
  });

  it('has a row for whatever took something away and must be done again after a restore, and no other', () => {
    const rows = tableRows(page).map(([type = '']) => type.replaceAll('`', ''));
    const ended = /taken away\s+from sessions \(([^)]+)\)/.exec(page)?.[1] ?? '';

    expect(rows.sort()).toEqual(sorted('again'));
    expect([...ended.matchAll(/`(\w+)`/g)].map(([, type]) => type).sort()).toEqual(sorted('sessions'));
  });

  describeWhereInstalled('jq', 'the events that a backup does not know', () => {
    it('picks those that must be done again: behind the head, and without a number', () => {
      const [, picks = ''] = /jq -c --argjson head "\$head" '([^']+)' lost-events\.jsonl/.exec(page) ?? [];
      const places = [null, 41, 42, 43];
      const lost = types.flatMap((type) => places.map((sequence) => JSON.stringify({ type, sequence })));

      const options = { input: lost.join('\n'), encoding: 'utf8' } as const;
      const picked = execFileSync('jq', ['-c', '--argjson', 'head', '42', picks], options);

      const again = sorted('again').flatMap((type) =>
        [null, 43].map((sequence) => JSON.stringify({ type, sequence })),
      );
      expect(picked.trimEnd().split('\n').sort()).toEqual(again.sort());
    });
  });
});

describe('docs/security.md', () => {
  const page = read('docs/security.md');

  /** What the page states, each as a list item with the tests that prove it. */
  const statements = page
    .split(/\n(?=- )/)
    .filter((item) => item.startsWith('- '))
    .map((item) => item.split(/\n\n|\n#/)[0] as string);

  const references = statements.map((statement) => ({
    statement,
    tests: [...statement.replace(/\n\s+/g, ' ').matchAll(/\[`([\w/.-]+spec\.ts)`: ([^\]]+)\]/g)].map(
      ([, file = '', name = '']) => ({ file, name }),
    ),
  }));

  it('names a test for every statement', () => {
    expect(statements.length).toBeGreaterThan(30);
    expect(references.filter(({ tests }) => tests.length === 0).map(({ statement }) => statement)).toEqual(
      [],
    );
  });

  it('names tests that exist', () => {
    const missing = references
      .flatMap(({ tests }) => tests)
      .filter(
        ({ file, name }) => !existsSync(join(root, file)) || !testNames(join(root, file)).includes(name),
      );

    expect(missing).toEqual([]);
  });
});

describe('docs/operations/faults.md', () => {
  const rows = tableRows(read('docs/operations/faults.md')).map(([fault, , , tests = '']) => ({
    fault,
    tests: [...tests.matchAll(/\]\(\.\.\/\.\.\/([^)]+)\): ([^[]+)/g)].flatMap(([, file = '', names = '']) =>
      [...names.matchAll(/"([^"]+)"/g)].map(([, name = '']) => ({ file, name })),
    ),
  }));

  it('has every row tried in the long run, by all of the files that it names', () => {
    const inTheLongRun = /testMatch: \[([^\]]*)\]/.exec(read('jest.faults.config.js'))?.[1] ?? '';
    const files = new Set(rows.flatMap(({ tests }) => tests.map(({ file }) => file)));
    const missing = [...files].filter(
      (file) => !inTheLongRun.includes(`'${basename(file, '.e2e-spec.ts')}'`),
    );

    expect(files.size).toBeGreaterThan(10);
    expect(missing).toEqual([]);
  });

  it('names a test for every fault', () => {
    expect(rows.length).toBeGreaterThan(5);
    expect(rows.filter(({ tests }) => tests.length === 0).map(({ fault }) => fault)).toEqual([]);
  });

  it('names tests that exist', () => {
    const missing = rows
      .flatMap(({ tests }) => tests)
      .filter(({ file, name }) => !testNames(join(root, file)).some((whole) => shortens(name, whole)));

    expect(missing).toEqual([]);
  });
});

/** Whether a name is another one, of which `…` leaves out parts. */
function shortens(name: string, whole: string): boolean {
  const parts = name.split('…').map((part) => part.replace(/[^\w ]/g, '\\$&'));
  return new RegExp(`^${parts.join('.+')}$`).test(whole);
}

describe('docs/operations/monitoring.md', () => {
  const page = read('docs/operations/monitoring.md');
  const begin = page.indexOf('## Log lines worth an alert\n');
  const part = page.slice(begin, page.indexOf('\n## ', begin + 1));
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'))
    .map((name) => read(join('src', name)));

  it('names only lines that are logged, each at its level', () => {
    const rows = tableRows(part).map(([message = '', level]) => ({
      message: message.replaceAll('`', ''),
      level,
    }));

    const levelOf = (message: string) => {
      const source = sources.find((text) => text.includes(`'${message}`)) ?? '';
      const before = source.slice(0, source.indexOf(`'${message}`));
      // Of an outage; of a sentence with a name, where that is used.
      if (/begun:\s*$/.test(before)) return 'warn';
      if (/^const \w+ =\s*$/m.test(before.split('\n').slice(-2).join('\n')))
        return /log\.(\w+)\(/.exec(source)?.[1];
      return [...before.matchAll(/log\??\.(\w+)\(/g)].at(-1)?.[1];
    };

    expect(rows.length).toBeGreaterThan(5);
    expect(rows.map(({ message }) => ({ message, level: levelOf(message) }))).toEqual(rows);
  });

  describeWhereInstalled('jq', 'what cron makes of a doctor’s findings', () => {
    const [, looks = ''] = /jq -e '([^']+)'/.exec(part) ?? [];
    const found = (check: string, severity: string) => ({ check, severity, message: '' });

    it.each([
      ['nothing', true, [found('disk', 'ok'), found('proxy', 'warn')], 'true'],
      ['a certificate that ends soon', true, [found('certificate', 'warn')], 'false'],
      ['a disk that fills', true, [found('disk', 'warn')], 'false'],
      ['a failure', false, [found('redis', 'fail')], 'false'],
    ])('complains of %s', (_, healthy, findings, said) => {
      const input = JSON.stringify({ healthy, findings });
      const { stdout } = spawnSync('jq', ['-e', looks], { input, encoding: 'utf8' });

      expect(stdout.trim()).toBe(said);
    });
  });
});

describe('docs/api-keys.md', () => {
  const shown = blocks(read('docs/api-keys.md'));

  it('publishes the expression by which keys are found', () => {
    expect(shown.find(({ language }) => language === 'regex')?.text.trim()).toBe(API_KEY_PATTERN);
  });

  it('shows a key whose checksum is right', () => {
    const key = shown.find(({ text }) => text.startsWith('sk_live_'))?.text.trim() ?? '';

    expect(new ApiKeyFormat('live').isWellFormed(key)).toBe(true);
    expect(key).toMatch(new RegExp(`^${API_KEY_PATTERN}$`));
  });

  it.each(['nginx', 'caddyfile', 'yaml'])('hands no credential on to what stands behind: %s', (language) => {
    const { text = '' } = shown.find((block) => block.language === language) ?? {};

    const taken =
      language === 'nginx'
        ? [...text.matchAll(/proxy_set_header (Authorization|X-API-Key) "";/g)].map(([, name]) => name)
        : language === 'caddyfile'
          ? [...text.matchAll(/header_up -(\S+)/g)].map(([, name]) => name)
          : takenAwayByTraefik(text);
    expect(taken).toEqual(['Authorization', 'X-API-Key']);
  });

  describeWhereInstalled('curl', 'the commands of introspection', () => {
    it('shows what they print, and claims with which the token is signed as it says', async () => {
      const page = read('docs/api-keys.md');
      const turns = blocks(page.slice(page.indexOf('## From a service'), page.indexOf('## Verifying')));
      const jwtSecret = newSecret();
      const database = await createDatabase();
      const server = await startServer(settingsFor(database, { JWT_SECRET: jwtSecret }));
      try {
        const person = { username: 'sam.hill', email: 'sam@example.com', password: 'nine brass kettles' };
        await callApi(server.url, 'POST', '/users', {}, person);
        const { username, password } = person;
        const login = await callApi(server.url, 'POST', '/auth/login', {}, { username, password });
        const { token = '' } = login.body;
        const key = { scopes: ['invoices:read'] };
        const made = await callApi(
          server.url,
          'POST',
          '/auth/keys',
          { authorization: `Bearer ${token}` },
          key,
        );
        const [, helper = ''] = /^(field\(\).*)$/m.exec(readme) ?? [];
        const commands = turns.filter(({ language }) => language === 'sh').map(({ text }) => text);
        const env = {
          ...process.env,
          API: `${server.url}/api/v1`,
          TOKEN: token,
          PRESENTED: made.body['apiKey'],
        };

        const printed = execFileSync('sh', ['-c', [helper, ...commands].join('\necho\n')], {
          env,
          encoding: 'utf8',
        });

        const expected = turns.filter(({ language }) => language === 'json').map(({ text }) => text.trim());
        expect(printed.trim().split('\n').map(withoutChance)).toEqual(expected.map(withoutChance));
        expect(expected).toHaveLength(3);
        const [signed = '', signature] = token.split(/\.(?=[^.]*$)/);
        expect(createHmac('sha256', jwtSecret).update(signed).digest('base64url')).toBe(signature);
        const claims = Object.keys(
          JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as object,
        );
        const checked = page.slice(page.indexOf('## Verifying'));
        expect(claims.filter((claim) => claim !== 'jti' && !checked.includes(`\`${claim}\``))).toEqual([]);
      } finally {
        server.signal('SIGTERM');
        await server.exit();
        await database.drop();
      }
    }, 60_000);
  });

  it('knows every header by which a proxy learns who is calling', () => {
    const verify = openApiDocument.paths['/api/v1/auth/verify']?.get?.responses['200'] as ResponseObject;
    const headers = Object.keys(verify.headers ?? {}).filter((name) => name.startsWith('X-Auth-'));

    const [table, nginx, caddy] = [/\| Header [\s\S]*?\n\n/, /```nginx[\s\S]*?```/, /copy_headers.*/].map(
      (part) => part.exec(read('docs/api-keys.md'))?.[0] ?? '',
    );
    for (const part of [table, nginx, caddy])
      expect(headers.filter((name) => !part?.includes(name))).toEqual([]);
  });
});

/** Headers that the middlewares of the router take away once Latchkey has been asked. */
function takenAwayByTraefik(text: string): string[] {
  const { http } = parse(text) as {
    http: {
      middlewares: Record<string, { headers?: { customRequestHeaders: Record<string, string> } }>;
      routers: { shop: { middlewares: string[] } };
    };
  };
  const [first, ...others] = http.routers.shop.middlewares.map((name) => http.middlewares[name]);
  expect(first).toHaveProperty('forwardAuth');
  return others.flatMap((middleware) =>
    Object.entries(middleware?.headers?.customRequestHeaders ?? {}).flatMap(([name, value]) =>
      value === '' ? [name] : [],
    ),
  );
}

describe('CHANGELOG.md', () => {
  it('has a section for the version that package.json names', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string };

    expect(read('CHANGELOG.md')).toContain(`## [${version}]`);
  });
});

describe('docs/adr', () => {
  it('numbers its decisions without gaps, each with context, decision and consequences', () => {
    const files = readdirSync(join(root, 'docs', 'adr')).sort();

    for (const [index, file] of files.entries()) {
      expect(file.startsWith(`${String(index + 1).padStart(4, '0')}-`)).toBe(true);
      for (const part of ['# ', '## Context', '## Decision', '## Consequences']) {
        expect(read(join('docs', 'adr', file))).toContain(part);
      }
    }
  });
});
