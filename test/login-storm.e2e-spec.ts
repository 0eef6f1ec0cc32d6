import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { DEFAULT_HASH_COST } from '../src/crypto/password-hasher';
import { WAITING_CONNECTIONS } from '../src/http/connections';
import { createDatabase, type TestDatabase } from './support/database';
import { type Program, settingsFor, startServer } from './support/server-process';

/** Logins that come at once. */
const STORM = 2_000;

/** One core is left to the event loop. */
const THREADS = Math.max(1, availableParallelism() - 1);

/** What a hash has in memory while it is made. */
const HASH_MIB = DEFAULT_HASH_COST.memoryKib / 1024;

/** Milliseconds within which the service wants to have been told something. */
const HEADERS_TIMEOUT_MS = 10_000;

/** What 2,000 connections and requests themselves may take: twice what was measured, 48 MiB. */
const MARGIN_MIB = 100;

/** Where the kernel tells how much memory a process has had at most. */
const onLinux = process.platform === 'linux';

(onLinux ? describe : describe.skip)('a storm of logins, as a process of its own feels it', () => {
  let database: TestDatabase;
  let server: Program & { url: string };
  beforeAll(async () => {
    database = await createDatabase();
    server = await startServer(settingsFor(database, { TRUST_PROXY: 'loopback' }));
  });
  afterAll(async () => {
    server.signal('SIGTERM');
    await server.exit();
    await database.drop();
  });

  const mebibytes = (what: 'VmRSS' | 'VmHWM'): number => {
    const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
    return Number(new RegExp(`^${what}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024;
  };

  const call = (path: string, body: object, address: string): Promise<Response> =>
    fetch(`${server.url}/api/v1${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-forwarded-for': address },
      body: JSON.stringify(body),
    });

  /**
   * Somebody else each time, from elsewhere, with fields as long as they may be. On a slow machine one may have nothing sent in
   * time, and is hung up on.
   */
  const stranger = async (index: number): Promise<number | 'too slow'> => {
    const begun = performance.now();
    const longest = `${'🗝'.repeat(252)}${String(index).padStart(4, '0')}`;
    const body = { username: longest, password: longest, deviceToken: 'x'.repeat(256) };
    try {
      const response = await call('/auth/login', body, `10.9.${index >> 8}.${index & 255}`);
      await response.arrayBuffer();
      return response.status;
    } catch (error) {
      if (performance.now() - begun < HEADERS_TIMEOUT_MS) throw error;
      return 'too slow';
    }
  };

  it('has no connection turned away that comes while the process is busy', async () => {
    const kernelKeeps = Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'));
    const wanted = Math.min(WAITING_CONNECTIONS, kernelKeeps);
    // Else what Node asks for by itself would do.
    expect(wanted).toBeGreaterThan(512);
    const { hostname, port } = new URL(server.url);
    let connected = 0;
    const sockets: Socket[] = [];
    // So that nothing but the kernel takes them.
    server.signal('SIGSTOP');
    try {
      for (let count = 0; count < wanted; count += 1) {
        sockets.push(connect(Number(port), hostname, () => (connected += 1)).on('error', () => undefined));
      }
      for (let waited = 0; connected < wanted && waited < 50; waited += 1) await delay(100);

      expect(connected).toBe(wanted);
    } finally {
      server.signal('SIGCONT');
      for (const socket of sockets) socket.destroy();
    }
  }, 30_000);

  it('takes no more memory than the threads that hash and a hundred MiB, and is answered', async () => {
    const owner = { username: 'owner', password: 'nine brass kettles' };
    await call('/users', { ...owner, email: 'owner@example.com' }, '10.8.0.1');
    // So that what is loaded late is loaded, and a thread has begun.
    expect((await call('/auth/login', owner, '10.8.0.1')).status).toBe(200);
    const before = mebibytes('VmRSS');

    const statuses = await Promise.all(Array.from({ length: STORM }, (_, index) => stranger(index)));

    const grown = mebibytes('VmHWM') - before;
    const answered = (wanted: number | 'too slow') => statuses.filter((status) => status === wanted).length;
    expect(answered(401) + answered(429) + answered(503) + answered('too slow')).toBe(STORM);
    expect([answered(401) > 0, answered(503) > 0]).toEqual([true, true]);
    expect(grown).toBeLessThan(THREADS * HASH_MIB + MARGIN_MIB);
    expect((await call('/auth/login', owner, '10.8.0.1')).status).toBe(200);
  }, 240_000);
});
