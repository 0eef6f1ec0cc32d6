import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MASTER_SECRET, startApp, type TestApp } from './support/app';
import { Program, settingsFor } from './support/server-process';

const LINES = process.env['FAULTS'] === 'long' ? 100_000 : 2_000;

/** Of `kettles & lanterns`. */
const HASH = '$2b$04$xcArEWSzxYR4ZRS6Sp/N7eUKC8dPxG01DvOtEXSirCDKdt.cgVpFa';

/** Lines that are refused, of so many characters each: together more than the memory that an import may take for being long. */
const LONG_LINES = 2_000;
const LONG = 'x'.repeat(48_000);

/**
 * MiB by which an import of many lines may exceed one of few: what has not been collected yet. Whoever holds what he has read,
 * or the file, takes 90 for the long lines alone.
 */
const MOST_MORE_MEBIBYTES = 60;

jest.setTimeout(3_600_000);

/** The most memory that the process has had, in MiB; nothing of one that has ended. */
function peakOf({ pid }: Program): number {
  try {
    const [, kibibytes] = readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmHWM:\s+(\d+)/) ?? [];
    return Number(kibibytes ?? 0) / 1024;
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return 0;
    throw error;
  }
}

describe('an import of very many users', () => {
  let app: TestApp;
  let folder: string;
  beforeAll(async () => {
    app = await startApp({ AUTH_SECRET: MASTER_SECRET, RATE_LIMITS: 'off' });
    folder = mkdtempSync(join(tmpdir(), 'latchkey-long-import-'));
  });
  afterAll(async () => {
    await app.close();
    rmSync(folder, { recursive: true });
  });

  const landed = async (): Promise<number> =>
    Number((await app.rows<{ n: number }>('SELECT COUNT(*) AS n FROM users'))[0]?.n);

  /** Users of whom nobody else has the name, and among them evenly the lines that are refused. */
  const fileOf = (name: string, users: number, longLines: number): string => {
    const file = join(folder, `${name}.jsonl`);
    const refused = `{"username":"${LONG}"}\n`;
    const handle = openSync(file, 'w');
    for (let n = 0; n < users; n += 1) {
      writeSync(
        handle,
        `{"username":"${name}-${n}","email":"${name}-${n}@example.com","passwordHash":"${HASH}"}\n`,
      );
      if (n % (users / longLines) === 0) writeSync(handle, refused);
    }
    closeSync(handle);
    return file;
  };

  const importing = (file: string): Program =>
    new Program(
      [join('scripts', 'start.mjs'), 'latchkey', 'user', 'import', file, '--json'],
      settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET }),
    );

  /** What it counted, and the most memory that it had. */
  const outcomeOf = async (program: Program): Promise<{ counts: unknown; peak: number }> => {
    let ended = false;
    const exit = program.exit().finally(() => (ended = true));
    let peak = 0;
    while (!ended) {
      peak = Math.max(peak, peakOf(program));
      await delay(20);
    }
    // For the lines that were refused.
    expect(await exit).toBe(1);
    return { counts: JSON.parse(program.stdout), peak };
  };

  it('is killed in its middle, is simply repeated, and takes hardly more memory than one of few', async () => {
    const few = await outcomeOf(importing(fileOf('few', 20, 20)));
    const file = fileOf('moved', LINES, LONG_LINES);

    const killed = importing(file);
    while ((await landed()) < 20 + LINES / 2) await delay(20);
    killed.signal('SIGKILL');
    await killed.exit();
    const cut = (await landed()) - 20;
    const many = await outcomeOf(importing(file));

    expect(few.counts).toEqual({ imported: 20, present: 0, refused: 20 });
    expect(cut).toBeLessThan(LINES);
    expect(many.counts).toEqual({ imported: LINES - cut, present: cut, refused: LONG_LINES });
    expect(await landed()).toBe(20 + LINES);
    expect(few.peak).toBeGreaterThan(0);
    expect(many.peak - few.peak).toBeLessThan(MOST_MORE_MEBIBYTES);
  });
});
