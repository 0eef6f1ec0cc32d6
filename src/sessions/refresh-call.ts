import { setImmediate } from 'node:timers/promises';
import type { Origin } from '../core/origin';

/** A refresh as it was asked for. */
export interface RefreshCall {
  refreshToken: string;
  /** Header of the request, repeated on its retries. */
  idempotencyKey: string | undefined;
  origin: Origin;
  hasHungUp: () => boolean;
}

/**
 * Whether nobody waits for the answer any more. A client that has given up asks again, maybe elsewhere, and goes on from there; what it
 * has left behind with a process that stood still is no theft. A thief who hangs up gets nothing either.
 */
export async function isAbandoned({ hasHungUp }: RefreshCall): Promise<boolean> {
  // What has come over a connection is read one after the other: the call first, and then that it was the last.
  await setImmediate();
  await setImmediate();
  return hasHungUp();
}
