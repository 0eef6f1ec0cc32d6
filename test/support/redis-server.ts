import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { PROGRAM_PATH } from './installed';
import { freePort } from './mariadb-server';

/** Milliseconds within which a server must have come up. */
const START_TIMEOUT_MS = 10_000;

/** A Redis server of our own, which tests may kill. It keeps nothing on disk. */
export class RedisServer {
  private process: ChildProcess | undefined;

  private constructor(
    private readonly folder: string,
    readonly port: number,
    private readonly options: readonly string[],
  ) {}

  /**
   * Makes and starts a server. Throws with a hint where `redis-server` is not installed.
   *
   * @param options of its own, besides those that all have
   */
  static async create(options: readonly string[] = []): Promise<RedisServer> {
    const server = new RedisServer(mkdtempSync(join(tmpdir(), 'latchkey-redis-')), await freePort(), options);
    await server.start();
    return server;
  }

  /** As the setting REDIS_URL. */
  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const started = spawn(
      'redis-server',
      [
        '--port',
        String(this.port),
        '--bind',
        '127.0.0.1',
        '--save',
        '',
        '--dir',
        this.folder,
        ...this.options,
      ],
      { stdio: 'ignore', env: { ...process.env, PATH: PROGRAM_PATH } },
    );
    this.process = started;
    const failed = once(started, 'error').then(([error]) => {
      throw new Error("redis-server cannot be run; install the package 'redis-server'", { cause: error });
    });
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await Promise.race([this.answers(), failed]))) {
      if (Date.now() > deadline || started.exitCode !== null) throw new Error('redis-server did not come up');
      await delay(20);
    }
  }

  /** Ends it at once, as a crash does. `start` brings an empty one back. */
  async kill(): Promise<void> {
    const running = this.process;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    running.kill('SIGKILL');
    await once(running, 'exit');
  }

  /** Has it answer nothing any more, though its connections stand. */
  freeze(): void {
    this.process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.process?.kill('SIGCONT');
  }

  /** Sends a message as anybody might who can reach it; answers how many heard it. */
  async publish(channel: string, message: string): Promise<number> {
    const client = new Redis(this.url);
    try {
      return await client.publish(channel, message);
    } finally {
      client.disconnect();
    }
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async answers(): Promise<boolean> {
    const socket = connect(this.port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return true;
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  }
}
