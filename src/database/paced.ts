import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../core/clock';

/** Milliseconds. On SQLite whoever waits for another process tries again every 5 ms. */
const LEAST_PAUSE_MS = 10;

/**
 * Does a part of long work, a transaction or so, and then pauses for as long as that took, 10 ms at least, before it returns: on
 * SQLite only one process writes at a time, and a server beside it has half of the time to itself. Not for the server's own work,
 * which takes its turn among the requests.
 */
export async function paced<T>(clock: Clock, part: () => Promise<T>): Promise<T> {
  const begun = clock.monotonic();
  const result = await part();
  await delay(Math.max(LEAST_PAUSE_MS, clock.monotonic() - begun));
  return result;
}
