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
 * Whether the client has hung up. The replaced token that it left behind is refused then and not taken for theft: the client gave up on
 * a process that stood still, refreshed elsewhere and went on from there. A thief who hangs up gets nothing either.
 */
export async function isAbandoned({ hasHungUp }: RefreshCall): Promise<boolean> {
  // A connection is read in order: the request, then the hang-up. Two turns of the event loop let one be seen that has arrived already.
  await setImmediate();
  await setImmediate();
  return hasHungUp();
}
