import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createConnection } from 'mysql2/promise';
import { PROGRAM_PATH } from './installed';
import { hasStopped } from './standstill';

/** Milliseconds within which a server must have come up. */
const START_TIMEOUT_MS = 30_000;

/** Of its root. With none the product would not start in production. */
const PASSWORD = 'kettle-lagoon-71';

/**
 * A MariaDB server of our own: data folder, port and socket in a temporary folder, gone when it is removed. Tests may kill
 * it without harm to anybody else's.
 */
export class MariadbServer {
  private process: ChildProcess | undefined;

  private constructor(
    private readonly folder: string,
    readonly port: number,
    private readonly durable: boolean,
  ) {}

  /**
   * Makes and starts a server. Throws with a hint where `mariadbd` is not installed.
   *
   * @param durable whether a commit waits for the disk, as in production. Without, what is committed survives the end of
   * the server, not that of the machine, and tests are not about the latter.
   * @param options of its own for this start, besides those that all have
   */
  static async create({
    durable = false,
    options = [],
  }: { durable?: boolean; options?: readonly string[] } = {}): Promise<MariadbServer> {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-mariadb-'));
    const server = new MariadbServer(folder, await freePort(), durable);
    try {
      execFileSync(
        'mariadb-install-db',
        [
          '--no-defaults',
          `--datadir=${join(folder, 'data')}`,
          `--tmpdir=${folder}`,
          '--auth-root-authentication-method=normal',
          '--skip-test-db',
          ...asCurrentUser(),
        ],
        { stdio: 'pipe', env: { ...process.env, PATH: PROGRAM_PATH } },
      );
    } catch (error) {
      rmSync(folder, { recursive: true });
      throw new Error(
        "mariadb-install-db failed; install the package 'mariadb-server', or set DATABASE_URL",
        {
          cause: error,
        },
      );
    }
    await server.start(options);
    return server;
  }

  /** As the setting DATABASE_URL, without a database. */
  get url(): string {
    return `mysql://root:${PASSWORD}@127.0.0.1:${this.port}/mysql`;
  }

  /** Of its process, while it runs. */
  get pid(): number | undefined {
    return this.process?.pid;
  }

  /** @param options of its own, besides those that all have */
  async start(options: readonly string[] = []): Promise<void> {
    const atStart = join(this.folder, 'at-start.sql');
    writeFileSync(
      atStart,
      `ALTER USER root@localhost IDENTIFIED BY '${PASSWORD}';\nCREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY '${PASSWORD}';\nGRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;\n`,
    );
    this.process = spawn(
      'mariadbd',
      [
        '--no-defaults',
        `--datadir=${join(this.folder, 'data')}`,
        // A server that starts clears its folder for temporary tables: in a shared one, of those of others.
        `--tmpdir=${this.folder}`,
        `--socket=${join(this.folder, 'socket')}`,
        `--pid-file=${join(this.folder, 'pid')}`,
        `--port=${this.port}`,
        '--bind-address=127.0.0.1',
        '--skip-name-resolve',
        `--init-file=${atStart}`,
        '--innodb-buffer-pool-size=64M',
        `--innodb-flush-log-at-trx-commit=${this.durable ? 1 : 2}`,
        ...asCurrentUser(),
        ...options,
      ],
      { stdio: 'ignore', env: { ...process.env, PATH: PROGRAM_PATH } },
    );
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await this.answers())) {
      if (Date.now() > deadline || this.process.exitCode !== null)
        throw new Error('mariadbd did not come up');
      await delay(50);
    }
  }

  /** Ends it: `SIGTERM` for a clean stop, `SIGKILL` for a crash. Rows stay; `start` brings it back. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const running = this.process;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    running.kill(signal);
    await once(running, 'exit');
  }

  /** Makes it stand still: it accepts connections and answers nothing, until `resume`. */
  async pause(): Promise<void> {
    this.process?.kill('SIGSTOP');
    if (this.pid !== undefined) await hasStopped(this.pid);
  }

  resume(): void {
    this.process?.kill('SIGCONT');
  }

  async remove(): Promise<void> {
    await this.stop('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async answers(): Promise<boolean> {
    try {
      const connection = await createConnection({
        host: '127.0.0.1',
        port: this.port,
        user: 'root',
        password: PASSWORD,
      });
      await connection.end();
      return true;
    } catch {
      return false;
    }
  }
}

/** The server refuses to run as root unless told so. */
function asCurrentUser(): string[] {
  return userInfo().uid === 0 ? ['--user=root'] : [];
}

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}
