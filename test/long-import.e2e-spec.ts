import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MASTER_SECRET, startApp, type TestApp } from './support/app';
import { Program, settingsFor } from './support/server-process';

const LINES = process.env['FAULTS'] === 'long' ? 100_000 : 2_000;

/** Of `kettles & lanterns`. */
const HASH = '$2b$04$xcArEWSzxYR4ZRS6Sp/N7eUKC8dPxG01DvOtEXSirCDKdt.cgVpFa';

/** More than a command takes that opens the service and holds a batch. A hundred thousand lines stay below it. */
const MOST_MEBIBYTES = 300;

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

  it('is killed in its middle, is simply repeated, and takes no more memory than one of few', async () => {
    const file = join(folder, 'users.jsonl');
    const lines = Array.from(
      { length: LINES },
      (_, n) => `{"username":"moved-${n}","email":"moved-${n}@example.com","passwordHash":"${HASH}"}\n`,
    );
    writeFileSync(file, lines.join(''));
    const importing = () =>
      new Program(
        [join('scripts', 'start.mjs'), 'latchkey', 'user', 'import', file, '--json'],
        settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET }),
      );

    const killed = importing();
    while ((await landed()) < LINES / 2) await delay(20);
    killed.signal('SIGKILL');
    await killed.exit();
    const cut = await landed();
    const repeated = importing();
    let ended = false;
    const exit = repeated.exit().finally(() => (ended = true));
    let peak = 0;
    while (!ended) {
      peak = Math.max(peak, peakOf(repeated));
      await delay(20);
    }

    expect(cut).toBeLessThan(LINES);
    expect([await exit, JSON.parse(repeated.stdout)]).toEqual([
      0,
      { imported: LINES - cut, present: cut, refused: 0 },
    ]);
    expect(await landed()).toBe(LINES);
    expect(peak).toBeGreaterThan(0);
    expect(peak).toBeLessThan(MOST_MEBIBYTES);
  });
});
