import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BackupSteps } from './support/backup-steps';
import { createDatabase, onMysql, type TestDatabase } from './support/database';
import { Program, runCommand, settingsFor } from './support/server-process';

/** Commands are processes of their own. */
jest.setTimeout(60_000);

/** Of a process that takes itself for process 1: it must not count on the kernel to end it. */
const AS_PROCESS_ONE = { NODE_OPTIONS: `--require ${join(__dirname, 'support', 'as-process-one.cjs')}` };

/** Makes the program behind it process 1 of a namespace, which goes when it ends. */
const UNSHARE = [
  ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']),
  ...['--pid', '--fork', '--kill-child'],
];

/**
 * Many sandboxes do not permit it, which nothing that can be installed would change. What process 1 does is tested all the same, not that the
 * kernel hands it the signal.
 */
const itWherePermitted = isPermitted() ? it : undefined;

function isPermitted(): boolean {
  try {
    execFileSync('unshare', [...UNSHARE, 'true'], { stdio: 'pipe' });
    return true;
  } catch (error) {
    const { message } = error as Error;
    process.stderr.write(`\n!!! NOT tested: signals for a true process 1. ${message}\n\n`);
    return false;
  }
}

const ENDS = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const;

describe('a command that is process 1, as in a container,', () => {
  let database: TestDatabase;
  let settings: Record<string, string>;
  let folder: string;
  beforeEach(async () => {
    database = await createDatabase();
    settings = settingsFor(database);
    folder = mkdtempSync(join(tmpdir(), 'latchkey-process-one-'));
    await runCommand('latchkey', ['migrate', 'up'], settings);
  });
  afterEach(async () => {
    rmSync(folder, { recursive: true });
    await database.drop();
  });

  /** A command that waits for its input once it has begun the report. */
  const importing = () => [
    ...[join('scripts', 'start.mjs'), 'latchkey', 'user', 'import', '-'],
    ...['--refused', join(folder, 'refused.jsonl')],
  ];
  const begun = async () => {
    while (!existsSync(join(folder, 'refused.jsonl.partial'))) await delay(20);
  };

  it.each(ENDS)('is ended by %s, with the exit code %i', async (signal, code) => {
    const command = new Program(importing(), { ...settings, ...AS_PROCESS_ONE });
    await begun();

    command.signal(signal);

    expect(await command.exit()).toBe(code);
  });

  itWherePermitted?.each(ENDS)(
    'and truly so, is ended by %s, with the exit code %i',
    async (signal, code) => {
      const namespace = spawn('unshare', [...UNSHARE, process.execPath, ...importing()], {
        cwd: join(__dirname, '..'),
        env: { PATH: process.env['PATH'], ...settings },
        stdio: ['pipe', 'ignore', 'ignore'],
      });
      const ended = once(namespace, 'close');
      await begun();

      const children = `/proc/${namespace.pid}/task/${namespace.pid}/children`;
      process.kill(Number(readFileSync(children, 'utf8')), signal);

      expect(await ended).toEqual([code, null]);
    },
  );

  (onMysql ? () => undefined : describe)('and backs up,', () => {
    it.each(ENDS)(
      'leaves nothing behind when it is cut short by %s, and exits with %i',
      async (signal, code) => {
        const steps = new BackupSteps(database, { ...settings, ...AS_PROCESS_ONE }, folder);
        await steps.takeOnBallast();

        const ended = await steps.cutShort(signal);

        expect([ended, readdirSync(folder)]).toEqual([code, []]);
      },
    );
  });
});
