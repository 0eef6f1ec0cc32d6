import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PROGRAM_PATH } from './installed';

/** Milliseconds within which it must have come up. */
const START_TIMEOUT_MS = 10_000;

/** The configuration of nginx in front of two instances that docs/operations.md shows, on the ports of a test. */
export function documentedBalancer(instances: readonly number[], proxy: number): string {
  const page = readFileSync(join(__dirname, '..', '..', 'docs', 'operations.md'), 'utf8');
  return (/^```nginx\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? '')
    .replace('127.0.0.1:3001', `127.0.0.1:${instances[0]}`)
    .replace('127.0.0.1:3002', `127.0.0.1:${instances[1]}`)
    .replace('127.0.0.1:8080', `127.0.0.1:${proxy}`);
}

/** An nginx of our own: configuration, files and port in a temporary folder, in the foreground, gone when it is removed. */
export class Nginx {
  private stderr = '';

  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    readonly port: number,
  ) {
    child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
  }

  /**
   * Starts one. Throws with a hint where `nginx` is not installed.
   *
   * @param site what stands inside `http { … }`
   * @param port where that listens
   */
  static async start(site: string, port: number): Promise<Nginx> {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-nginx-'));
    mkdirSync(join(folder, 'temporary'));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (kind) => `${kind}_temp_path ${join(folder, 'temporary', kind)};`,
    );
    writeFileSync(
      join(folder, 'nginx.conf'),
      [
        'daemon off;',
        'master_process off;',
        `pid ${join(folder, 'pid')};`,
        'error_log stderr;',
        'events {}',
        'http {',
        'access_log off;',
        ...temporary,
        site,
        '}',
      ].join('\n'),
    );
    const child = spawn('nginx', ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: PROGRAM_PATH },
    });
    const nginx = new Nginx(child, folder, port);
    await nginx.ready();
    return nginx;
  }

  async remove(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGTERM');
      await once(this.child, 'exit');
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async ready(): Promise<void> {
    const failed = once(this.child, 'error').then(([error]) => {
      throw new Error("nginx cannot be run; install the package 'nginx'", { cause: error });
    });
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await Promise.race([this.accepts(), failed]))) {
      if (this.child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`nginx did not come up: ${this.stderr}`);
      }
      await delay(20);
    }
  }

  private accepts(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.port, '127.0.0.1');
      socket.on('connect', () => resolve(socket.destroy() !== undefined)).on('error', () => resolve(false));
    });
  }
}
