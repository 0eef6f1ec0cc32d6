import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { onMysql, type TestDatabase } from './database';
import { MASTER_SECRET } from './app';
import { issued } from './secret-watch';
import { hasStopped } from './standstill';

const root = join(__dirname, '..', '..');

/** Milliseconds within which a process must have said that it is ready. */
const START_TIMEOUT_MS = 30_000;

/** Settings for a process on that database, the outer environment's own left out. */
export function settingsFor(
  database: TestDatabase,
  settings: Record<string, string> = {},
): Record<string, string> {
  return {
    DATABASE_URL: database.url,
    PORT: '0',
    ...(onMysql && { AUTH_SECRET: MASTER_SECRET }),
    ...settings,
  };
}

/** An operating system process of ours, and what it says. */
export class Program {
  stdout = '';
  stderr = '';
  private readonly child: ChildProcess;
  private readonly exited: Promise<number | null>;

  /** @param script in the project's folder, and what stands behind it on the command line */
  constructor(script: string[], environment: Record<string, string>, cwd = root) {
    this.child = spawn(process.execPath, script, {
      cwd,
      env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.exited = once(this.child, 'close').then(([code]) => code as number | null);
  }

  /** The exit code, once it has ended; `null` if a signal ended it. Fails if it has written anything that grants access. */
  async exit(): Promise<number | null> {
    const code = await this.exited;
    this.refuseLeaks();
    return code;
  }

  private refuseLeaks(): void {
    issued.refuseLeaks('what a process wrote', this.stdout + this.stderr);
  }

  /** As `exit`; what was typed grants access, if the program has accepted it. */
  async exitOnPassword(typed: string): Promise<number | null> {
    const code = await this.exit();
    if (code === 0) issued.noteTyped(typed);
    this.refuseLeaks();
    return code;
  }

  get pid(): number {
    return this.child.pid as number;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Makes it stand still, until it is sent a `SIGCONT`. At once where it has ended. */
  async pause(): Promise<void> {
    this.child.kill('SIGSTOP');
    await hasStopped(this.pid);
  }

  /** Types `text`; what the program reads goes on. */
  type(text: string): void {
    this.child.stdin?.write(text);
  }

  /** Types `text`, and nothing more ever. */
  typeLast(text: string | Buffer): void {
    this.child.stdin?.end(text);
  }

  /** Reads nothing more of what it writes on standard output, which it is told when it writes. */
  stopReading(): void {
    this.child.stdout?.destroy();
  }

  /** Reads nothing more of it either, until it has ended; but the pipe stays open, and fills. */
  letOutputLie(): void {
    const { stdout } = this.child;
    stdout?.pause();
    this.child.once('exit', () => stdout?.resume());
  }

  /** Reads on after that. */
  readOn(): void {
    this.child.stdout?.resume();
  }

  /** Waits until it has written what matches. */
  async says(pattern: RegExp, on: 'stdout' | 'stderr' = 'stdout'): Promise<RegExpMatchArray> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      const match = this[on].match(pattern);
      if (match) return match;
      if (this.child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`Expected ${pattern}, got: ${this.stdout}${this.stderr}`);
      }
      const stream = this.child[on];
      await Promise.race([stream && once(stream, 'data'), this.exited]);
    }
  }
}

/**
 * The service as a process, as `npm start` runs it, ready.
 *
 * @param cwd the folder of another version of the project
 */
export async function startServer(
  environment: Record<string, string>,
  cwd = root,
): Promise<Program & { url: string }> {
  const program = new Program([join('scripts', 'start.mjs'), 'main'], environment, cwd);
  const [, url = ''] = await program.says(/Docs\s+(http:\/\/[\d.:]+)\/docs[\s\S]*Ctrl\+C/);
  return Object.assign(program, { url });
}

/** Settings with which a process tells at its end what it has loaded. */
export const LISTING_MODULES = { NODE_OPTIONS: `--require ${join(__dirname, 'list-modules.cjs')}` };

/** Settings with which a process finds its machine's clock off by so many milliseconds. */
export const withWrongClock = (milliseconds: number): Record<string, string> => ({
  NODE_OPTIONS: `--require ${join(__dirname, 'wrong-clock.cjs')}`,
  WRONG_CLOCK_MS: String(milliseconds),
});

/** What a process with those settings has loaded from outside of its own file, once it has ended. */
export function modulesLoadedBy({ stderr }: Program): string[] {
  return JSON.parse(/^Modules: (.*)$/m.exec(stderr)?.[1] ?? 'null') as string[];
}

/** Commands that read a password from standard input, but for a line break at its end. */
const READ_PASSWORDS = ['user create', 'user set-password'];

/** Runs an operator's command to its end. */
export async function runCommand(
  program: string,
  words: string[],
  environment: Record<string, string>,
  input: string | Buffer = '',
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const command = new Program([join('scripts', 'start.mjs'), program, ...words], environment);
  command.typeLast(input);
  const typed = READ_PASSWORDS.includes(words.slice(0, 2).join(' '))
    ? String(input).replace(/\r?\n$/, '')
    : '';
  const code = await command.exitOnPassword(typed);
  return { code, stdout: command.stdout, stderr: command.stderr };
}
