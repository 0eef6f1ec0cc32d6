import { AsyncLocalStorage } from 'node:async_hooks';
import { channel } from 'node:diagnostics_channel';
import { setTimeout as delay } from 'node:timers/promises';
import type { Failpoint } from '../../src/core/failpoints';
import { onMysql } from './database';
import { type Gate, gate } from './gate';
import type { TestFailpoints } from './test-failpoints';

/** The request header that says which of the calls it is. */
export const CALLER_HEADER = 'x-test-caller';

/**
 * Milliseconds after which a call that was let go, and neither came to a place nor ended, is taken to wait for a lock that
 * another call holds. If it was only slow, the two just go on side by side.
 */
const BLOCKED_MS = 20;

const callers = new AsyncLocalStorage<string | undefined>();

// Fastify tells here what it is about to handle: everything below knows from then on whose call it is part of.
channel('tracing:fastify.request.handler:start').bindStore(callers, (message) => {
  const { request } = message as { request: { headers: Record<string, string> } };
  return request.headers[CALLER_HEADER];
});

/** Whose call this is part of, if that was said. */
export function currentCaller(): string | undefined {
  return callers.getStore();
}

/** One of several calls that are made at once. Told its own name, which goes with what it does. */
export type Call = (caller: string) => Promise<void>;

/** Does in the name of a caller what is not a request. */
export function inTheNameOf<T>(caller: string, work: () => Promise<T>): Promise<T> {
  return callers.run(caller, work);
}

/** Whether a place lies inside a transaction. */
export function isInsideTransaction(point: Failpoint): boolean {
  return /_(written|revoked|sealed|selected)$/.test(point);
}

/**
 * Makes calls at once, of which one goes on at a time: from one place to the next, or to its end. `choices` says who is next of
 * those that stand somewhere.
 *
 * @param eachTurn done before anybody goes on
 */
export async function interleave(
  failpoints: TestFailpoints,
  calls: Call[],
  choices: number[],
  eachTurn: () => void,
): Promise<void> {
  const standing = new Map<string, () => void>();
  const arrivals = new Map<string, Gate>();
  let anyArrival = gate();
  let ended = 0;

  const arrive = (caller: string): void => {
    arrivals.get(caller)?.open();
    anyArrival.open();
  };
  const stand = (caller: string): Promise<void> =>
    new Promise((resolve) => {
      standing.set(caller, resolve);
      arrive(caller);
    });
  failpoints.set((point) => {
    const caller = callers.getStore();
    // Inside a transaction on SQLite nobody else gets through the door, so there is no choice of who is next.
    const passes = caller === undefined || (!onMysql && isInsideTransaction(point));
    return passes ? undefined : stand(caller);
  });

  const all = Promise.allSettled(
    calls.map(async (call, index) => {
      const caller = String(index);
      await stand(caller);
      await call(caller).finally(() => {
        ended += 1;
        arrive(caller);
      });
    }),
  );
  for (let turn = 0; ended < calls.length; turn += 1) {
    if (standing.size === 0) {
      anyArrival = gate();
      await anyArrival.opened;
      continue;
    }
    const [caller, goOn] = [...standing][(choices[turn] ?? 0) % standing.size] as [string, () => void];
    const arrival = gate();
    arrivals.set(caller, arrival);
    standing.delete(caller);
    eachTurn();
    goOn();
    await (onMysql ? Promise.race([arrival.opened, delay(BLOCKED_MS)]) : arrival.opened);
  }
  failpoints.set(undefined);
  for (const outcome of await all) if (outcome.status === 'rejected') throw outcome.reason;
}
