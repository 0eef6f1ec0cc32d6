import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../test/support/mariadb-server';

/** The core that whoever is measured has to himself, where there are two; load and databases share the others. */
const MEASURED_CORE = '0';
/** Looked at before this process moves to the others, and counts those alone. */
const LAST_CORE = availableParallelism() - 1;
const ALL_CORES = `0-${LAST_CORE}`;
const OTHER_CORES = LAST_CORE > 0 ? `1-${LAST_CORE}` : '0';

/** The kernel counts a process' time in hundredths of a second. */
const TICKS_PER_SECOND = 100;
const START_TIMEOUT_MS = 30_000;
/** For one try to reach it: what listens may still never answer. */
const ANSWER_TIMEOUT_MS = 2_000;

/** The measured core only, or those of the load as well. */
export type Cores = 'one' | 'all';

/** What is measured: a program of Node that listens on `PORT`. */
export interface Program {
  script: string;
  environment: Record<string, string>;
  /** Where it says that it is there. */
  readyPath: string;
  cores?: Cores;
  /** Milliseconds that it may take to be there. */
  patience?: number;
}

/** Keeps a process, and the threads that it has so far, off the core of the measured one. */
export function moveToOtherCores(pid: number): void {
  execFileSync('taskset', ['-a', '-cp', OTHER_CORES, String(pid)], { stdio: 'ignore' });
}

/** What a program prints that ends by itself, within so many milliseconds. */
export async function runToEnd(
  script: string,
  environment: Record<string, string>,
  patience: number,
  cores: Cores = 'one',
): Promise<string> {
  const words = [...mask(cores), process.execPath, script];
  try {
    const { stdout } = await promisify(execFile)('taskset', words, {
      env: { PATH: process.env['PATH'] ?? '', ...environment },
      ...{ timeout: patience, killSignal: 'SIGKILL' },
    });
    return stdout;
  } catch (cause) {
    throw new Error(`${script} did not end as it should`, { cause });
  }
}

/** Options of `taskset`. */
function mask(cores: Cores): string[] {
  return ['-c', cores === 'one' ? MEASURED_CORE : ALL_CORES];
}

/** A program while it runs, on a core of its own or, where asked, on all. */
export class Server {
  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
    /** From the start of the process to its first answer. */
    readonly startMilliseconds: number,
  ) {}

  /** Throws, and leaves nothing behind, where it ends or is not there in time. */
  static async start(program: Program): Promise<Server> {
    const { script, environment, readyPath, cores = 'one', patience = START_TIMEOUT_MS } = program;
    const port = await freePort();
    const begun = performance.now();
    const child = spawn('taskset', [...mask(cores), process.execPath, script], {
      env: { PATH: process.env['PATH'] ?? '', ...environment, PORT: String(port) },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const url = `http://127.0.0.1:${port}`;
    while (!(await answers(`${url}${readyPath}`))) {
      const hasEnded = child.exitCode !== null || child.signalCode !== null;
      if (hasEnded || performance.now() - begun > patience) {
        child.kill('SIGKILL');
        throw new Error(`${script} did not start`);
      }
      await delay(5);
    }
    return new Server(child, url, performance.now() - begun);
  }

  /** Seconds of processor time so far, all threads together. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }

  /** Resident memory now, megabytes. */
  residentMegabytes(): number {
    const [, kilobytes] =
      readFileSync(`/proc/${this.child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/) ?? [];
    return Number(kilobytes) / 1024;
  }

  /** Also of one that has ended. */
  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}

async function answers(url: string): Promise<boolean> {
  return fetch(url, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) }).then(
    ({ status }) => status < 500,
    () => false,
  );
}
