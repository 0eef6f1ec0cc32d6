import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createDatabase, type TestDatabase } from './support/database';
import { Program, settingsFor, startServer } from './support/server-process';

const CARELESS = join(__dirname, 'support', 'careless-program.cjs');
const FULL_DISK = join(__dirname, 'support', 'full-disk.cjs');
const MAIN = realpathSync(join(__dirname, '..', 'dist', 'main.js'));

describe('an error that nobody catches', () => {
  let database: TestDatabase;
  beforeAll(async () => (database = await createDatabase()));
  afterAll(() => database.drop());

  const signUp = (url: string, username: string) =>
    fetch(`${url}/api/v1/users`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username, email: `${username}@example.com`, password: 'nine brass kettles' }),
    });

  it.each(['exception', 'rejection'])(
    'is a line in the log, ends the process and no request under way: %s',
    async (kind) => {
      const settings = settingsFor(database, { ERROR_NOBODY_CATCHES: kind });
      const server = new Program(['--require', CARELESS, MAIN], settings);
      const [, url = ''] = await server.says(/Docs\s+(http:\/\/[\d.:]+)\/docs[\s\S]*Ctrl\+C/);
      const underWay = Array.from({ length: 8 }, (_, index) => signUp(url, `${kind}-${index}`));
      await Promise.race(underWay);

      server.signal('SIGUSR2');

      expect((await Promise.all(underWay)).map(({ status }) => status)).toEqual(Array(8).fill(201));
      expect(await server.exit()).toBe(1);
      expect(server.stderr).toBe('');
      const lines = server.stdout.split('\n').filter((line) => line.startsWith('{'));
      const fatal = lines
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter(({ level }) => level === 'fatal');
      expect(fatal).toEqual([
        expect.objectContaining({
          msg: 'Nobody has caught this error; the process ends',
          err: expect.objectContaining({ message: 'an error that nobody catches' }) as object,
        }),
      ]);
    },
    60_000,
  );

  it('leaves nothing behind that the next start would stumble over', async () => {
    const server = await startServer(settingsFor(database));

    expect((await signUp(server.url, 'afterwards')).status).toBe(201);
    server.signal('SIGTERM');
    expect(await server.exit()).toBe(0);
  });
});

describe('a log that goes to a disk that is full', () => {
  let database: TestDatabase;
  let folder: string;
  beforeAll(async () => {
    database = await createDatabase();
    folder = mkdtempSync(join(tmpdir(), 'latchkey-log-'));
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await database.drop();
  });

  it('ends nothing, and has its lines when there is room again', async () => {
    const [full, log] = [join(folder, 'full'), join(folder, 'log')];
    const settings = settingsFor(database, { NO_ROOM: full, ROOM: log });
    const server = new Program(['--require', FULL_DISK, MAIN], settings);
    const [, url = ''] = await server.says(/Docs\s+(http:\/\/[\d.:]+)\/docs[\s\S]*Ctrl\+C/);
    const ask = () => fetch(`${url}/health/ready`, { headers: { 'x-forwarded-for': '192.0.2.1' } });

    server.signal('SIGUSR2');
    while (!existsSync(full)) await delay(10);
    // The first that claims to come through a proxy is a warning.
    const whileFull = [await ask(), await ask()].map(({ status }) => status);
    server.signal('SIGUSR2');
    while (!existsSync(log)) await delay(10);
    server.signal('SIGTERM');

    expect(await server.exit()).toBe(0);
    expect([whileFull, server.stderr]).toEqual([[200, 200], '']);
    expect(server.stdout).not.toContain('TRUST_PROXY');
    expect(readFileSync(log, 'utf8')).toMatch(/TRUST_PROXY.*\n.*"stopping"/);
  }, 60_000);

  it('does not keep the process from ending after an error that nobody catches', async () => {
    const settings = settingsFor(database, {
      ...{ NO_ROOM: join(folder, 'fuller'), ERROR_NOBODY_CATCHES: 'exception' },
    });
    const server = new Program(['--require', FULL_DISK, '--require', CARELESS, MAIN], settings);
    await server.says(/Ctrl\+C/);

    server.signal('SIGUSR2');

    expect(await server.exit()).toBe(1);
    expect(server.stdout).not.toContain('fatal');
  }, 60_000);
});

describe('a log that goes into a pipe whose reader stands still', () => {
  let database: TestDatabase;
  let server: Program & { url: string };
  beforeAll(async () => {
    database = await createDatabase();
    server = await startServer(settingsFor(database, { LOG_LEVEL: 'debug' }));
  });
  afterAll(async () => {
    server.signal('SIGKILL');
    await server.exit();
    await database.drop();
  });

  const linesOf = (text: string) => text.split('\n').filter((line) => line.includes('"/health/live"')).length;

  /** Makes so many calls that their lines are more than the system keeps for a reader and the service for the system. */
  const callOften = async () => {
    const ask = () => fetch(`${server.url}/health/live`, { signal: AbortSignal.timeout(2_000) });
    for (let answered = 0; answered < 4_000; answered += 20) {
      const answers = await Promise.all(Array.from({ length: 20 }, ask));
      for (const { status } of answers) expect(status).toBe(200);
    }
  };

  it('loses lines, and a warning says how many once somebody reads on', async () => {
    server.letOutputLie();
    await callOften();

    server.readOn();
    const [, warned = ''] = await server.says(/"lines":(\d+),[^\n]*"Lines of the log are lost"/);

    expect(server.stdout).toMatch(/"level":"warn"[^\n]*"Lines of the log are lost"/);
    expect(Number(warned)).toBeGreaterThan(0);
    expect(linesOf(server.stdout) + Number(warned)).toBe(4_000);
  }, 60_000);

  it('holds up no call and no stop', async () => {
    const before = linesOf(server.stdout);
    server.letOutputLie();
    await callOften();
    const begun = performance.now();
    server.signal('SIGTERM');

    expect(await server.exit()).toBe(0);
    expect(performance.now() - begun).toBeLessThan(10_000);
    const written = linesOf(server.stdout) - before;
    expect(written).toBeGreaterThan(100);
    expect(written).toBeLessThan(4_000);
  }, 60_000);
});
