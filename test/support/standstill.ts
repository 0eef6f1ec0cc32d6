import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Waits until every thread of a process has heard of a SIGSTOP, or the process is gone. */
export async function hasStopped(pid: number): Promise<void> {
  while (isRunning(pid)) await delay(1);
}

function isRunning(pid: number): boolean {
  const threads = `/proc/${pid}/task`;
  try {
    return readdirSync(threads).some(
      (thread) => !/\) [TZX] /.test(readFileSync(`${threads}/${thread}/stat`, 'utf8')),
    );
  } catch (error) {
    // A thread, or all of them, may have ended since the folder was read.
    if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return existsSync(threads);
  }
}
