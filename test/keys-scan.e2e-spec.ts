import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemRandom } from '../src/core/random';
import { ApiKeyFormat } from '../src/crypto/api-key-format';
import { Program, runCommand } from './support/server-process';

const real = new ApiKeyFormat('live').generate(new SystemRandom());
const random = `sk_test_${'Ab0'.repeat(12)}xy`;

describe('npm run keys:scan', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'latchkey-scan-'));
    for (const name of ['src', '.git', 'node_modules', 'clean']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'src', 'settings.env'), `NAME=x\nKEY="${real}"\n`);
    writeFileSync(join(folder, 'src', 'docs.md'), `An example: \`${random}\`.\n`);
    for (const name of ['.git', 'node_modules']) writeFileSync(join(folder, name, 'x'), real);
    writeFileSync(join(folder, 'clean', 'x'), 'nothing here');
    symlinkSync(join(folder, 'src'), join(folder, 'clean', 'link'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  // No database, no settings, no network: a broken DATABASE_URL would stop everything else.
  const scan = (words: string[], input = '') =>
    runCommand('cli/scan-keys', words, { DATABASE_URL: 'nonsense:' }, input);

  it('finds candidates in a folder and tells real-looking from random ones, without showing them', async () => {
    const { code, stdout, stderr } = await scan([folder]);

    expect(stdout.split('\n')).toEqual([
      `${folder}/src/docs.md:1:14 sk_test_Ab0A… wrong checksum`,
      `${folder}/src/settings.env:2:6 ${real.slice(0, 12)}… looks real`,
      '1 that look real, 1 that do not.',
      '',
    ]);
    expect([code, stderr]).toEqual([1, '']);
  });

  it('answers programs in JSON, a line each', async () => {
    const { code, stdout } = await scan(['--json', join(folder, 'src', 'settings.env')]);

    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      file: join(folder, 'src', 'settings.env'),
      line: 2,
      column: 6,
      key: `${real.slice(0, 12)}…`,
      looksReal: true,
    });
  });

  it('ends with 0 where nothing looks real, and follows no links', async () => {
    const { code, stdout } = await scan([join(folder, 'clean'), join(folder, 'src', 'docs.md')]);

    expect([code, stdout]).toEqual([0, expect.stringMatching(/\n0 that look real, 1 that do not\.\n$/)]);
  });

  it('reads standard input', async () => {
    const { code, stdout } = await scan(['-'], `+ ${real}\n`);

    expect([code, stdout.split('\n')[0]]).toEqual([1, `-:1:3 ${real.slice(0, 12)}… looks real`]);
  });

  it.each([
    ['no path', [], 2, /Name a file or a folder/],
    ['an unknown option', ['--all', '.'], 2, /--all/],
    ['a path that is not there', ['/no/such/path'], 2, /There is no \/no\/such\/path/],
  ])('refuses %s with a sentence', async (_, words, expected, sentence) => {
    const { code, stderr } = await scan(words);

    expect(stderr).toMatch(sentence);
    expect(code).toBe(expected);
  });

  it('says what it could not read, with exit code 2, and goes on', async () => {
    const loop = join(folder, 'loop');
    symlinkSync(loop, loop);

    const { code, stdout, stderr } = await scan([loop, join(folder, 'src', 'docs.md')]);
    const found = await scan([loop, join(folder, 'src')]);

    expect([code, stderr]).toEqual([2, `Could not be read: ${loop} (ELOOP)\n`]);
    expect(stdout).toMatch(/\n0 that look real, 1 that do not\.\n$/);
    expect(found.code).toBe(1);
  });

  it.each([
    ['with 1 if it has found a key', 'settings.env', 1],
    ['else with 2, for the rest is not looked at', 'docs.md', 2],
  ])('ends where nobody reads what it finds, %s', async (_, name, expected) => {
    // Of standard input there is always more to come.
    const words = ['cli/scan-keys', join(folder, 'src', name), '-'];
    const program = new Program([join('scripts', 'start.mjs'), ...words], {});
    program.stopReading();

    expect(await program.exit()).toBe(expected);
    expect(program.stderr).toBe('');
  });

  it('says that its answer cannot be written, and does not end as if it had found a key', () => {
    const script = '"$0" scripts/start.mjs cli/scan-keys --json "$1" >/dev/full';
    const { status, stderr } = spawnSync(
      'sh',
      ['-c', script, process.execPath, join(folder, 'src', 'docs.md')],
      { cwd: join(__dirname, '..'), encoding: 'utf8' },
    );

    const error = 'Standard output cannot be written (ENOSPC).';
    expect([status, stderr]).toEqual([2, `${JSON.stringify({ error })}\n`]);
  });

  it('explains itself', async () => {
    expect((await scan(['--help'])).stdout).toContain('npm run keys:scan -- PATH');
  });
});
