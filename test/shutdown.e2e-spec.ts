import { once } from 'node:events';
import { Agent, request, type IncomingMessage } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { SqliteConnection } from '../src/database/sqlite-connection';
import { Drain } from '../src/http/drain';
import { MASTER_SECRET, startApp, type TestApp } from './support/app';
import { createDatabase, createMysqlDatabase, onMysql, type TestDatabase } from './support/database';
import { holdMigrations } from './support/held-migrations';
import { bearer } from './support/instances';
import { MariadbServer } from './support/mariadb-server';
import { issued } from './support/secret-watch';
import { Program, settingsFor, startServer } from './support/server-process';
import { TestFailpoints } from './support/test-failpoints';
import { TcpProxy } from './support/tcp-proxy';

/** What is promised from the signal to the end, whatever hangs. */
const LONGEST_STOP_MS = 10_000;

const START = join('scripts', 'start.mjs');

/** What it has logged. */
const linesOf = ({ stdout }: Program): Record<string, unknown>[] =>
  stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);

interface Reply {
  status: number;
  connection: string | undefined;
  code: string | undefined;
  body: Record<string, string>;
}

describe('a stop', () => {
  let database: TestDatabase;
  let server: Program & { url: string };
  let agent: Agent;
  const open = async (settings: Record<string, string> = {}) => {
    server = await startServer(settingsFor(database, settings));
  };
  beforeEach(async () => {
    database = await createDatabase();
    // One connection, kept alive.
    agent = new Agent({ keepAlive: true, maxSockets: 1 });
  });
  afterEach(async () => {
    agent.destroy();
    server.signal('SIGKILL');
    await server.exit();
    await database.drop();
  });

  /** Sends it over the connection that is kept; fails if that is reset. */
  const ask = async (
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: object,
  ): Promise<Reply> => {
    const sent = body && JSON.stringify(body);
    const call = request(server.url + path, {
      method,
      agent,
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
    });
    call.end(sent);
    const [answer] = (await once(call, 'response')) as [IncomingMessage];
    const { statusCode: status = 0, headers: got } = answer;
    const received = await text(answer);
    issued.noteCall({ status, headers: new Headers(headers), request: sent, answer: received });
    const parsed = JSON.parse(received) as Record<string, string>;
    return {
      ...{ status, connection: got.connection, body: parsed },
      code: got['x-error-code'] as string | undefined,
    };
  };

  /** A request whose body does not come to its end, until it is given. */
  const halfASignUp = async (): Promise<{ socket: Socket; finish: () => Promise<string> }> => {
    const body = JSON.stringify({
      username: 'somebody',
      email: 'somebody@example.com',
      password: 'brass kettle 9',
    });
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    socket.write(
      `POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 9)}`,
    );
    // Whatever else is asked now is asked after it.
    await ask('GET', '/health/live');
    return {
      socket,
      finish: async () => {
        const chunks: Buffer[] = [];
        socket.on('data', (chunk: Buffer) => chunks.push(chunk));
        socket.write(body.slice(9));
        await once(socket, 'close');
        return Buffer.concat(chunks).toString();
      },
    };
  };

  /** What becomes of a new connection. */
  const knock = (): Promise<string | undefined> =>
    new Promise((resolve) => {
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
      socket.on('connect', () => resolve(void socket.destroy()));
      socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code));
    });

  const signal = async (name: NodeJS.Signals = 'SIGTERM'): Promise<number> => {
    const begun = performance.now();
    server.signal(name);
    await server.says(/"stopping"/);
    return begun;
  };

  it('gives a connection that is kept alive one more answer, says so in it, and then closes it', async () => {
    await open();
    const before = await ask('GET', '/health/live');
    const begun = await signal();
    while ((await knock()) !== 'ECONNREFUSED');

    const last = await ask('POST', '/api/v1/auth/refresh', {}, { refreshToken: 'none' });

    expect([before.status, before.connection]).toEqual([200, 'keep-alive']);
    expect([last.status, last.connection]).toEqual([401, 'close']);
    expect(await server.exit()).toBe(0);
    // Nobody is left: so nobody is waited for.
    expect(performance.now() - begun).toBeLessThan(4_000);
  });

  it('answers what is under way, and lets nobody new in meanwhile', async () => {
    await open();
    const { finish } = await halfASignUp();
    await signal();

    while ((await knock()) !== 'ECONNREFUSED');
    const answer = await finish();

    expect(answer).toMatch(/^HTTP\/1\.1 201 /);
    expect(answer.toLowerCase()).toContain('connection: close');
    expect(await server.exit()).toBe(0);
    expect(await database.rows("SELECT id FROM users WHERE username = 'somebody'")).toHaveLength(1);
  });

  it('is announced to load balancers first, and serves them meanwhile, for as long as the setting says', async () => {
    await open({ SHUTDOWN_DELAY: '2' });
    const begun = await signal();

    const ready = await ask('GET', '/health/ready');
    const live = await ask('GET', '/health/live');
    const call = await ask('POST', '/api/v1/auth/refresh', {}, { refreshToken: 'none' });

    expect([ready.status, ready.code, ready.connection]).toEqual([503, 'draining', 'close']);
    expect([live.status, live.connection]).toEqual([200, 'close']);
    expect([call.status, call.connection]).toEqual([401, 'close']);
    expect(await server.exit()).toBe(0);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(2_000);
  });

  it('writes when sessions and keys were last used', async () => {
    await open();
    const person = { username: 'somebody', email: 'somebody@example.com', password: 'brass kettle 9' };
    await ask('POST', '/api/v1/users', {}, person);
    const { body } = await ask(
      'POST',
      '/api/v1/auth/login',
      {},
      { username: person.username, password: person.password },
    );
    const { body: key } = await ask('POST', '/api/v1/auth/keys', bearer(body['token'] as string), {});
    await ask('GET', '/api/v1/users/me', bearer(body['token'] as string));
    await ask('GET', '/api/v1/users/me', { 'x-api-key': key['apiKey'] ?? '' });

    await signal();
    const code = await server.exit();

    expect(code).toBe(0);
    for (const table of ['sessions', 'api_keys']) {
      expect(
        await database.rows(`SELECT last_used_at FROM ${table} WHERE last_used_at IS NOT NULL`),
      ).toHaveLength(1);
    }
  });

  it('does not wait for a client that does not come to its end, nor for one that says nothing', async () => {
    await open();
    const { socket } = await halfASignUp();
    const silent = connect(Number(new URL(server.url).port), '127.0.0.1');
    await once(silent, 'connect');
    const closed = [socket, silent].map((one) => {
      one.on('error', () => undefined).resume();
      return once(one, 'close');
    });

    const begun = await signal();
    const code = await server.exit();

    expect(code).toBe(0);
    expect(performance.now() - begun).toBeLessThan(LONGEST_STOP_MS);
    await Promise.all(closed);
  }, 30_000);

  it('is cut short where it takes too long, and says so by its exit code and in the log', async () => {
    await open();
    const { socket } = await halfASignUp();
    socket.on('error', () => undefined);
    await signal();
    // It says that it stops a moment before its time begins, and accepts nobody a moment after.
    while ((await knock()) !== 'ECONNREFUSED');

    // As when the machine stands still.
    server.signal('SIGSTOP');
    await delay(LONGEST_STOP_MS);
    server.signal('SIGCONT');

    expect(await server.exit()).toBe(1);
    expect(linesOf(server).at(-1)).toMatchObject({
      level: 'error',
      msg: 'The stop took too long and was cut short',
    });
  }, 60_000);

  it('does not wait for who has asked for a tunnel, was refused and stays', async () => {
    await open();
    const port = Number(new URL(server.url).port);
    const silent = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    silent.write('CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n');
    const [refusal] = (await once(silent, 'data')) as [Buffer];

    const begun = await signal();
    const code = await server.exit();
    silent.destroy();

    expect(refusal.toString()).toMatch(/^HTTP\/1\.1 400 /);
    expect(code).toBe(0);
    expect(performance.now() - begun).toBeLessThan(3_000);
  }, 30_000);

  it('is cut short by a signal that comes later than npm would repeat it', async () => {
    await open();
    const { socket } = await halfASignUp();
    socket.on('error', () => undefined);
    const begun = await signal('SIGTERM');

    const exit = server.exit();
    let code: number | null | 'running' = 'running';
    while (code === 'running') {
      server.signal('SIGINT');
      code = await Promise.race([exit, delay(100, 'running' as const)]);
    }

    expect(code).toBe(130);
    expect(performance.now() - begun).toBeLessThan(3_000);
  });
});

describe('a stop during the start', () => {
  let database: TestDatabase;
  let programs: Program[];
  beforeEach(async () => {
    programs = [];
    database = await createDatabase();
  });
  afterEach(async () => {
    for (const program of programs) program.signal('SIGKILL');
    await Promise.all(programs.map((program) => program.exit()));
    await database.drop();
  });

  const start = (settings: Record<string, string> = {}, url = database.url) => {
    const program = new Program([START, 'main'], settingsFor({ ...database, url }, settings));
    programs.push(program);
    return program;
  };

  /** Tells it to stop, and how long that takes. */
  const stop = async (program: Program) => {
    const begun = performance.now();
    program.signal('SIGTERM');
    const code = await program.exit();
    return { code, milliseconds: performance.now() - begun };
  };

  const stopsCleanly = async (program: Program) => {
    const { code, milliseconds } = await stop(program);
    expect(code).toBe(0);
    expect(milliseconds).toBeLessThan(LONGEST_STOP_MS);
  };

  it('is heard from the first moment on, while the code is still being loaded', async () => {
    const program = start({
      NODE_OPTIONS: `--require ${join(__dirname, 'support', 'told-while-loading.cjs')}`,
    });

    expect(await program.exit()).toBe(0);
    expect([program.stdout.match(/"stopping"/g), program.stderr]).toEqual([['"stopping"'], '']);
    expect(program.stdout).not.toContain('Ctrl+C');
    expect(await tables(database)).not.toContain('users');
  });

  it('does not wait for another that migrates, and does not migrate afterwards', async () => {
    const other = await holdMigrations(database);
    const program = start();
    await other.untilWaitedFor(program);

    const { code, milliseconds } = await stop(program);
    await other.release();

    expect([code, program.stderr]).toEqual([0, '']);
    expect(program.stdout).toContain('"stopping"');
    expect(milliseconds).toBeLessThan(3_000);
    expect(await tables(database)).not.toContain('users');
  }, 60_000);

  it('ends cleanly while nobody answers where the database should be', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const connected = once(silent, 'connection');
    const { port } = silent.address() as { port: number };
    const program = start({ AUTH_SECRET: MASTER_SECRET }, `mysql://root@127.0.0.1:${port}/latchkey`);
    const [socket] = (await connected) as [Socket];

    await stopsCleanly(program);
    expect(program.stdout).toMatch(/"stopping"[\s\S]*The start failed while it was given up/);
    expect(program.stderr).toBe('');
    socket.destroy();
    silent.close();
  });

  if (!onMysql) return;

  const throughProxy = async () => {
    const proxy = await TcpProxy.to(Number(new URL(database.url).port));
    const hears = (words: string, then: () => void) =>
      new Promise<void>((resolve) => {
        proxy.overhear((chunk) => {
          if (!chunk.includes(words)) return;
          then();
          resolve();
        });
      });
    return { proxy, hears, program: start({}, proxy.leadingTo(database.url)) };
  };

  it('brings the statement of a migration to its end that is under way, and begins no other', async () => {
    const { proxy, hears, program } = await throughProxy();
    await hears('CREATE TABLE sessions', () => proxy.let({ delayMs: 300 }));

    const { code } = await stop(program);
    const stopped = await tables(database);
    await proxy.close();
    const next = await startServer(settingsFor(database));

    expect([code, program.stderr]).toEqual([0, '']);
    expect(stopped).toContain('sessions');
    expect(stopped).not.toContain('api_keys');
    await stopsCleanly(next);
    expect(await tables(database)).toContain('limit_counters');
  }, 60_000);

  it('is over within ten seconds, though the database hangs', async () => {
    const { proxy, hears, program } = await throughProxy();
    // Whatever else hangs is given up before.
    await hears('CREATE TABLE users', () => proxy.let('nothing passes'));

    const { code, milliseconds } = await stop(program);
    await proxy.close();

    expect(code).toBe(1);
    expect(milliseconds).toBeLessThan(LONGEST_STOP_MS);
    expect(program.stdout).toContain('The stop took too long and was cut short');
  }, 60_000);

  it('is cut short by a second signal', async () => {
    const { proxy, hears, program } = await throughProxy();
    await hears('GET_LOCK', () => proxy.let('nothing passes'));
    program.signal('SIGTERM');
    await program.says(/"stopping"/);

    await delay(600);
    const { code, milliseconds } = await stop(program);
    await proxy.close();

    expect(code).toBe(143);
    expect(milliseconds).toBeLessThan(5_000);
  }, 60_000);
});

const tables = async (database: TestDatabase): Promise<string[]> => {
  const rows = await database.rows<{ name: string }>(
    onMysql
      ? 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()'
      : 'SELECT name FROM sqlite_master',
  );
  return rows.map(({ name }) => name);
};

describe('leave is taken', () => {
  const failpoints = new TestFailpoints();
  let app: TestApp;
  let drain: Drain;
  beforeEach(async () => {
    app = await startApp({}, { failpoints });
    drain = app.nest.get(Drain);
  });
  afterEach(async () => {
    failpoints.set(undefined);
    await app.close();
  });

  it('of a connection that was handed over to somebody, when the time is up', async () => {
    const { server } = app.nest.getHttpAdapter().getInstance();
    server.on('upgrade', (_request, socket: Socket) => socket.on('error', () => undefined));
    const client = connect({ port: Number(new URL(app.url).port), host: '127.0.0.1', allowHalfOpen: true });
    client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
    await once(server, 'upgrade');

    await drain.finish({ idle: 10, busy: 20 });

    expect(await promisify(server.getConnections.bind(server))()).toBe(0);
    client.destroy();
  });

  /** Somebody asks for an account and hangs up while it is being written. */
  const signUpAndHangUp = async () => {
    const held = failpoints.hold('sign_up:account_written');
    const caller = new AbortController();
    const call = app
      .fetch('/api/v1/users', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ username: 'somebody', email: 's@example.com', password: 'brass kettle 9' }),
        signal: caller.signal,
      })
      .catch(({ name }: Error) => name);
    await held.reached;
    caller.abort();
    expect(await call).toBe('AbortError');
    return held;
  };

  it('of who has hung up when what he asked for is done, since the database is closed then', async () => {
    const held = await signUpAndHangUp();
    const finished = drain.finish({ idle: 10, busy: 5_000 }).then(() => 'finished');

    const before = await Promise.race([finished, delay(300, 'at work')]);
    held.release();
    await finished;
    await app.nest.close();

    expect(before).toBe('at work');
    expect(app.logged.filter(({ level }) => level === 'error')).toEqual([]);
    expect(await app.database.rows("SELECT id FROM users WHERE username = 'somebody'")).toHaveLength(1);
  });

  it('of who has hung up when the time is up, though what he asked for is not done', async () => {
    const held = await signUpAndHangUp();

    const finished = drain.finish({ idle: 10, busy: 50 }).then(() => 'finished');
    const later = await Promise.race([finished, delay(1_000, 'at work')]);
    held.release();

    expect(later).toBe('finished');
  });
});

describe('a stop while the database hangs', () => {
  it('is over within ten seconds, loses what could not be written, and says so', async () => {
    const hanging = onMysql ? await hangingServer() : await hangingFile();
    const server = await startServer(settingsFor(hanging.database));
    const call = (path: string, body: object) =>
      fetch(`${server.url}/api/v1${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    const person = { username: 'somebody', email: 'somebody@example.com', password: 'brass kettle 9' };
    await call('/users', person);
    const login = await call('/auth/login', { username: person.username, password: person.password });
    const { token } = (await login.json()) as { token: string };
    await fetch(`${server.url}/api/v1/users/me`, { headers: bearer(token) });

    await hanging.begin();
    // Once more, without the database: a round may have come just before, and have written down the use before.
    await fetch(`${server.url}/api/v1/auth/verify`, { headers: bearer(token) });
    // Under way, and waiting for the database.
    const waiting = call('/auth/login', { username: person.username, password: person.password });
    const begun = performance.now();
    server.signal('SIGTERM');
    const { status } = await waiting;
    const code = await server.exit();
    const milliseconds = performance.now() - begun;
    await hanging.end();

    expect(status).toBe(503);
    expect(milliseconds).toBeLessThan(LONGEST_STOP_MS);
    // Nothing had to be cut short, and what could not be written is told of.
    expect(code).toBe(0);
    const told = linesOf(server).filter(({ msg }) => msg === 'Last uses could not be written yet');
    // On a slow machine a round before the stop has failed too, and said so.
    expect(told.at(-1)).toMatchObject({ level: 'warn', table: 'sessions', rows: 1 });
  }, 60_000);
});

interface Hanging {
  database: TestDatabase;
  begin(): Promise<void>;
  /** Also removes it. */
  end(): Promise<void>;
}

async function hangingServer(): Promise<Hanging> {
  const server = await MariadbServer.create();
  return {
    database: await createMysqlDatabase(server.url),
    begin: () => server.pause(),
    end: () => {
      server.resume();
      return server.remove();
    },
  };
}

async function hangingFile(): Promise<Hanging> {
  const database = await createDatabase();
  const other = new SqliteConnection(database.url.slice('sqlite:'.length));
  return {
    database,
    begin: () => {
      // Until the application has a moment between two transactions.
      for (;;) {
        try {
          return Promise.resolve(other.exec('BEGIN EXCLUSIVE'));
        } catch (error) {
          if (!(error as Error).message.includes('locked')) throw error;
        }
      }
    },
    end: () => {
      other.exec('ROLLBACK');
      other.close();
      return database.drop();
    },
  };
}
