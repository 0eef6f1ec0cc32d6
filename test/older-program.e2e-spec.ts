import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BusyCustomer } from './support/busy-customer';
import { createDatabase, onMysql, type TestDatabase } from './support/database';
import { BELIEVING } from './support/fresh-address';
import { gate } from './support/gate';
import { halfDone } from './support/half-done';
import { type Program, settingsFor, startServer } from './support/server-process';
import { faultRounds } from './support/thoroughness';

const root = join(__dirname, '..');

/** The last commit whose schema is another one than today's: it knows no table of the counts of limits. */
const OLDER = '3307b231864d991437435d69ca8333bda0962d63';

const CUSTOMERS = 4;

/** How often one of them is acknowledged something with both at work, and with the older one started anew. */
const ACKNOWLEDGED = faultRounds(100, 300);

/** Milliseconds within which every instance knows of a session's end. */
const REVOCATION_MS = 1_000;

/** The program as of that commit, built, in a folder of its own. */
function checkOut(commit: string): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: root, maxBuffer: 256 * 1024 * 1024, stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    git('cat-file', '-e', `${commit}^{commit}`);
  } catch {
    throw new Error(
      `An older program is built from the commit ${commit}, which is not in this clone; fetch the whole history (git fetch --unshallow).`,
    );
  }
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-older-'));
  execFileSync('tar', ['x', '-C', folder], { input: git('archive', commit) });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  execFileSync(process.execPath, [join('scripts', 'build.mjs')], { cwd: folder, stdio: 'pipe' });
  return folder;
}

describe('an older program and this one on one database', () => {
  let folder: string | undefined;
  let database: TestDatabase;
  let settings: Record<string, string>;
  const running: (Program & { url: string })[] = [];

  beforeAll(async () => {
    database = await createDatabase();
    settings = settingsFor(database, BELIEVING);
    folder = checkOut(OLDER);
  }, 300_000);
  afterAll(async () => {
    for (const server of running) server.signal('SIGKILL');
    for (const server of running) await server.exit();
    await database.drop();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  const start = async (cwd = root) => {
    const server = await startServer(settings, cwd);
    running.push(server);
    return server;
  };

  it('serve the same people in turns, refuse nobody and lose nothing', async () => {
    let serving = [await start(folder)];
    let [turn, acknowledged, wanted, enough] = [0, 0, 0, gate()];
    const origin = () => serving[(turn += 1) % serving.length]?.url ?? '';
    const count = () => {
      acknowledged += 1;
      if (acknowledged >= wanted) enough.open();
    };
    const several = async () => {
      [wanted, enough] = [acknowledged + ACKNOWLEDGED, gate()];
      await enough.opened;
    };
    const customers = Array.from(
      { length: CUSTOMERS },
      (_, index) => new BusyCustomer(`customer-${index}`, origin, count),
    );
    let over = false;
    const lives = customers.map((customer) => customer.live(() => over));
    await several();
    const [older] = serving as [Program & { url: string }];
    const before = await database.rows('SELECT name FROM migrations');
    // It migrates while the older one goes on.
    const newer = await start();
    serving = [older, newer];
    await several();
    serving = [newer];
    older.signal('SIGTERM');
    expect(await older.exit()).toBe(0);
    // On a schema that it does not know.
    serving = [newer, await start(folder)];
    await several();
    over = true;
    await Promise.all(lives);
    await delay(REVOCATION_MS);

    expect((await database.rows('SELECT name FROM migrations')).length).toBeGreaterThan(before.length);
    expect(customers.flatMap(({ falseRefusals }) => falseRefusals)).toEqual([]);
    if (!onMysql) expect(await database.rows('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
    expect(await halfDone(database)).toEqual([]);
    for (const customer of customers) expect(await customer.losses(database)).toEqual([]);
  }, 600_000);
});
