import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { WAITING_PER_THREAD } from '../src/crypto/password-hasher';
import { MASTER_SECRET, newSecret } from './support/app';
import { createDatabase, onMysql, type TestDatabase } from './support/database';
import { freePort } from './support/mariadb-server';
import { Program, settingsFor, startServer } from './support/server-process';

const root = join(__dirname, '..');
/** What has nothing to do with a server is tested once. */
const describeOnSqlite = onMysql ? () => undefined : describe;

const START = join('scripts', 'start.mjs');

const register = (url: string, username: string) =>
  fetch(`${url}/api/v1/users`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, email: `${username}@example.com`, password: 'a password of theirs' }),
  });

const login = async (url: string, username: string) => {
  const response = await fetch(`${url}/api/v1/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password: 'a password of theirs' }),
  });
  return (await response.json()) as { token: string; refreshToken: string };
};

describe('the start', () => {
  let database: TestDatabase;
  beforeEach(async () => (database = await createDatabase()));
  afterEach(() => database.drop());

  it('prints the addresses and finds everything as it was left when it is made again', async () => {
    const first = await startServer(settingsFor(database));
    expect(first.stdout).toMatch(/^Latchkey \d+\.\d+\.\d+ is ready\.$/m);
    for (const [name, path] of [
      ['API', '/api/v1'],
      ['Docs', '/docs'],
      ['Health', '/health/ready'],
    ]) {
      expect(first.stdout).toContain(`  ${name?.padEnd(7)} ${first.url}${path}\n`);
    }
    for (const path of [
      '/docs',
      '/docs/swagger-ui-bundle.js',
      '/openapi.json',
      '/openapi.yaml',
      '/health/ready',
    ]) {
      expect((await fetch(`${first.url}${path}`)).status).toBe(200);
    }
    expect((await register(first.url, 'somebody')).status).toBe(201);
    const { token } = await login(first.url, 'somebody');
    first.signal('SIGTERM');
    expect(await first.exit()).toBe(0);

    const second = await startServer(settingsFor(database));

    const profile = await fetch(`${second.url}/api/v1/users/me`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(profile.status).toBe(200);
    second.signal('SIGTERM');
    expect(await second.exit()).toBe(0);
  });

  it('listens at HOST, and nowhere else', async () => {
    const server = await startServer(settingsFor(database, { HOST: '127.0.0.2' }));
    const { hostname, port } = new URL(server.url);

    const elsewhere = fetch(`http://127.0.0.1:${port}/health/live`);

    expect(hostname).toBe('127.0.0.2');
    expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
    await expect(elsewhere).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
    server.signal('SIGTERM');
    expect(await server.exit()).toBe(0);
  });

  it('brings up two instances that start together on an empty database', async () => {
    const instances = await Promise.all([
      startServer(settingsFor(database)),
      startServer(settingsFor(database)),
    ]);

    expect((await register(instances[0].url, 'somebody')).status).toBe(201);
    const { token } = await login(instances[1].url, 'somebody');
    const headers = { authorization: `Bearer ${token}` };
    for (const { url } of instances) {
      expect((await fetch(`${url}/api/v1/users/me`, { headers })).status).toBe(200);
    }
    for (const instance of instances) instance.signal('SIGTERM');
    expect(await Promise.all(instances.map((instance) => instance.exit()))).toEqual([0, 0]);
  });

  it('is refused with one sentence where the port is in use', async () => {
    const occupant: Server = createServer().listen(0, '127.0.0.1');
    await once(occupant, 'listening');
    const { port } = occupant.address() as { port: number };

    const program = new Program([START, 'main'], settingsFor(database, { PORT: String(port) }));
    const code = await program.exit();
    occupant.close();

    expect(code).toBe(1);
    expect(program.stderr).toBe(
      `Latchkey cannot start. Port ${port} on 127.0.0.1 is in use; stop the other program, or set PORT to a free one.\n`,
    );
    expect(program.stdout).toBe('');
  });

  it('is refused with one sentence where the database cannot be reached', async () => {
    const port = await freePort();
    const settings = {
      DATABASE_URL: `mysql://root:topsecret@127.0.0.1:${port}/latchkey`,
      AUTH_SECRET: MASTER_SECRET,
    };

    const program = new Program([START, 'main'], settings);

    expect(await program.exit()).toBe(1);
    expect(program.stderr).toBe(
      `Latchkey cannot start. The MySQL server at 127.0.0.1:${port} cannot be reached (ECONNREFUSED); start it, or point DATABASE_URL elsewhere.\n`,
    );
  });

  it('is refused at once where the folder of the database cannot be made', async () => {
    // A folder in which nothing can be made, and that says something else each time.
    for (const given of [{}, { AUTH_SECRET: MASTER_SECRET }] as Record<string, string>[]) {
      const settings = { PORT: '0', DATABASE_URL: 'sqlite:/proc/latchkey/auth.sqlite', ...given };
      const program = new Program([START, 'main'], settings);
      const impatience = setTimeout(() => program.signal('SIGKILL'), 15_000);

      expect(await program.exit()).toBe(1);
      clearTimeout(impatience);
      expect(program.stderr).toMatch(
        /^Latchkey cannot start\. .*\/proc\/latchkey.* set (AUTH_SECRET|DATABASE_URL)\.\n$/,
      );
    }
  }, 60_000);

  it('is refused with every wrong setting named at once, and no secret shown', async () => {
    const program = new Program([START, 'main'], {
      PORT: 'eighty',
      ACCESS_TOKEN_TTL: '0',
      LOGIN_ERRORS: 'none',
      AUTH_SECRET: 'short-secret',
      CORS_ORIGINS: '*',
    });

    expect(await program.exit()).toBe(1);
    for (const name of ['PORT', 'ACCESS_TOKEN_TTL', 'LOGIN_ERRORS', 'AUTH_SECRET', 'CORS_ORIGINS']) {
      expect(program.stderr).toMatch(new RegExp(`^  ${name} must `, 'm'));
    }
    expect(program.stderr).not.toContain('short-secret');
    expect(program.stderr).not.toContain('    at ');
  });

  it('is refused with one sentence where the master secret can be neither read nor made', async () => {
    const file = join(root, 'package.json', 'auth.sqlite');

    const program = new Program([START, 'main'], { PORT: '0', DATABASE_URL: `sqlite:${file}` });

    expect(await program.exit()).toBe(1);
    expect(program.stderr).toMatch(
      /^Latchkey cannot start\. The master secret .*auth-secret .* set AUTH_SECRET\.\n$/,
    );
  });

  it('is refused where the master secret is gone that a database was used with, unless it is being changed, and makes no other', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-secret-'));
    const [secret, moved] = [join(folder, 'auth-secret'), join(folder, 'moved')];
    const environment = { PORT: '0', DATABASE_URL: `sqlite:${join(folder, 'auth.sqlite')}` };
    const first = await startServer(environment);
    await register(first.url, 'somebody');
    first.signal('SIGTERM');
    expect(await first.exit()).toBe(0);
    renameSync(secret, moved);

    const program = new Program([START, 'main'], environment);

    expect(await program.exit()).toBe(1);
    expect(program.stderr).toMatch(
      /^Latchkey cannot start\. There is no master secret .*auth-secret, though .*: put it back .*\.\n$/,
    );
    expect(existsSync(secret)).toBe(false);
    const changed = await startServer({ ...environment, AUTH_SECRET_PREVIOUS_FILE: moved });
    changed.signal('SIGTERM');
    expect(await changed.exit()).toBe(0);
    expect(readFileSync(secret, 'utf8')).not.toBe(readFileSync(moved, 'utf8'));
    rmSync(folder, { recursive: true });
  }, 60_000);

  it('is refused with one sentence where the secret of the access tokens is the master secret that was made', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-secret-'));
    const secret = newSecret();
    writeFileSync(join(folder, 'auth-secret'), `${secret}\n`, { mode: 0o600 });
    const environment = {
      ...{ PORT: '0', DATABASE_URL: `sqlite:${join(folder, 'auth.sqlite')}` },
      JWT_SECRET_FILE: join(folder, 'auth-secret'),
    };

    const program = new Program([START, 'main'], environment);

    void program.says(/Ctrl\+C/).then(
      () => program.signal('SIGKILL'),
      () => undefined,
    );
    expect(await program.exit()).toBe(1);
    expect(program.stderr).toMatch(
      /^Latchkey cannot start\. .*\n {2}JWT_SECRET must not be the master secret in .*auth-secret: .*\n$/,
    );
    expect(program.stderr).not.toContain(secret);
    expect(readdirSync(folder)).toEqual(['auth-secret']);
    rmSync(folder, { recursive: true });
  });

  it('ends cleanly, requests under way answered, however often it is told to', async () => {
    const server = await startServer(settingsFor(database));
    // As many as may wait to be hashed where there is one thread for that.
    const signUps = WAITING_PER_THREAD.registration;
    const underWay = Array.from({ length: signUps }, (_, index) => register(server.url, `somebody-${index}`));
    await Promise.race(underWay);

    server.signal('SIGTERM');
    server.signal('SIGTERM');
    server.signal('SIGINT');

    const statuses = (await Promise.all(underWay)).map(({ status }) => status);
    expect(statuses).toEqual(Array(signUps).fill(201));
    expect(await server.exit()).toBe(0);
    expect(server.stderr).toBe('');
  });

  it('speaks in JSON lines only in production', async () => {
    const program = new Program([START, 'main'], settingsFor(database, { NODE_ENV: 'production' }));
    await program.says(/"listening"/);
    program.signal('SIGTERM');

    expect(await program.exit()).toBe(0);
    const lines = program.stdout.trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(['listening', 'stopping']);
  });
});

/** Has a program be refused what only the owner of a checkout may do. */
const REFUSING_CHANGES = `
  const fs = require('node:fs');
  const refuse = () => { throw Object.assign(new Error('EPERM'), { code: 'EPERM' }); };
  Object.assign(fs, { utimesSync: refuse, symlinkSync: refuse });
  require('node:module').syncBuiltinESMExports();
`;

describeOnSqlite('a first start with nothing configured', () => {
  let checkout: string;

  /** A checkout of its own, sharing what `npm ci` installs. */
  beforeAll(() => {
    checkout = mkdtempSync(join(tmpdir(), 'latchkey-checkout-'));
    for (const name of readdirSync(root)) {
      if (['node_modules', '.build', 'dist', 'data', '.git', 'coverage'].includes(name)) continue;
      cpSync(join(root, name), join(checkout, name), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'));
  });
  afterAll(() => rmSync(checkout, { recursive: true }));

  /** Started by somebody whose files are nobody else's. */
  const start = () => {
    const mask = process.umask(0o077);
    try {
      return new Program([START, 'main'], { PORT: '0' }, checkout);
    } finally {
      process.umask(mask);
    }
  };
  const builds = () => readdirSync(join(checkout, '.build'));

  it('builds once though two are started, makes folder and secret, and is ready, with no other program beside it', async () => {
    const programs = [start(), start()];
    await Promise.all(programs.map((program) => program.says(/Ctrl\+C/)));

    expect(statSync(join(checkout, 'data')).mode & 0o777).toBe(0o700);
    expect(statSync(join(checkout, 'data', 'auth-secret')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(checkout, 'data', 'auth-secret'), 'utf8')).toMatch(/^[\w-]{64}\n$/);
    expect(statSync(join(checkout, 'data', 'auth.sqlite')).mode & 0o777).toBe(0o600);
    expect(builds()).toHaveLength(1);
    for (const { pid } of programs) {
      const children = readdirSync(`/proc/${pid}/task`).map((thread) =>
        readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8'),
      );
      expect(children.join('')).toBe('');
    }

    for (const program of programs) {
      program.signal('SIGTERM');
      expect(await program.exit()).toBe(0);
    }
    expect(statSync(join(checkout, 'data', 'auth.sqlite-wal'), { throwIfNoEntry: false })?.size ?? 0).toBe(0);
  }, 90_000);

  it('does not build again what has not changed', async () => {
    const secret = readFileSync(join(checkout, 'data', 'auth-secret'), 'utf8');

    const program = start();
    await program.says(/Ctrl\+C/);
    program.signal('SIGTERM');
    await program.exit();

    expect(program.stderr).toBe('');
    expect(readFileSync(join(checkout, 'data', 'auth-secret'), 'utf8')).toBe(secret);
  });

  it('runs the build of another user, who alone may touch it', async () => {
    const refusing = join(checkout, 'refusing.cjs');
    writeFileSync(refusing, REFUSING_CHANGES);

    const settings = { PORT: '0', NODE_OPTIONS: `--require=${refusing}` };
    const program = new Program([START, 'main'], settings, checkout);
    await program.says(/Ctrl\+C/);
    program.signal('SIGTERM');

    expect(await program.exit()).toBe(0);
    expect(program.stderr).toBe('');
  });

  it('builds what every user may read, whatever else of his is private', () => {
    const build = realpathSync(join(checkout, 'dist'));
    const closed = readdirSync(build, { recursive: true, encoding: 'utf8' }).filter(
      (name) => (statSync(join(build, name)).mode & 0o044) !== 0o044,
    );

    expect(closed).toEqual([]);
  });

  it('builds what has changed, beside a server that runs from the old build, however old that is', async () => {
    const old = start();
    await old.says(/Ctrl\+C/);
    const before = realpathSync(join(checkout, 'dist'));
    const longAgo = new Date(Date.now() - 8 * 24 * 3600 * 1000);
    utimesSync(before, longAgo, longAgo);
    const source = join(checkout, 'src', 'banner.ts');
    writeFileSync(source, readFileSync(source, 'utf8').replace('is ready.', 'is as ready as can be.'));

    const changed = start();
    await changed.says(/as ready as can be[\s\S]*Ctrl\+C/);

    expect(realpathSync(join(checkout, 'dist'))).not.toBe(before);
    expect(existsSync(join(before, 'crypto', 'hash-worker.js'))).toBe(true);
    expect(dirname(before)).toBe(join(realpathSync(checkout), '.build'));
    for (const program of [old, changed]) program.signal('SIGTERM');
    expect(await Promise.all([old.exit(), changed.exit()])).toEqual([0, 0]);
  }, 90_000);

  it('is not disturbed by the build of `npm run start:dev`', async () => {
    const { scripts } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    // The same without the server and without waiting for changes.
    const words = scripts['start:dev']
      ?.replace('nest start', 'build')
      .replace(' --watch', '')
      .split(' ') as string[];
    const before = [builds(), realpathSync(join(checkout, 'dist'))];

    const nest = join('node_modules', '@nestjs', 'cli', 'bin', 'nest.js');
    const code = await new Program([nest, ...words], {}, checkout).exit();

    expect([code, builds().includes('dev')]).toEqual([0, true]);
    expect([builds().filter((name) => name !== 'dev'), realpathSync(join(checkout, 'dist'))]).toEqual(before);
  }, 90_000);

  it('puts its link where a compiler has left a folder', async () => {
    const build = realpathSync(join(checkout, 'dist'));
    rmSync(join(checkout, 'dist'));
    mkdirSync(join(checkout, 'dist'));
    writeFileSync(join(checkout, 'dist', 'main.js'), 'throw new Error("not this one")');

    const programs = [start(), start(), start()];
    await Promise.all(programs.map((program) => program.says(/Ctrl\+C/)));

    expect(realpathSync(join(checkout, 'dist'))).toBe(build);
    for (const program of programs) program.signal('SIGTERM');
    expect(await Promise.all(programs.map((program) => program.exit()))).toEqual([0, 0, 0]);
  }, 90_000);

  it('says what is wrong where the sources cannot be built, and leaves the old build alone', async () => {
    const before = builds();
    const source = join(checkout, 'src', 'banner.ts');
    writeFileSync(source, `${readFileSync(source, 'utf8')}\nconst broken: = 'text';\n`);

    const program = start();

    expect(await program.exit()).toBe(1);
    expect(program.stderr).toContain('Latchkey could not be built');
    expect(builds()).toEqual(before);
  }, 90_000);

  it('says how to install what it is built with where that was left out', async () => {
    rmSync(join(checkout, 'node_modules'));

    const program = new Program([join('scripts', 'build.mjs')], {}, checkout);
    const code = await program.exit();
    symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'));

    expect(code).toBe(1);
    expect(program.stderr).toMatch(
      /^Building Latchkey …\nLatchkey could not be built;.* `npm ci --include=dev`[^\n]*\n$/,
    );
  });
});
