import { AsyncLocalStorage } from 'node:async_hooks';

/** Milliseconds after which a request's use of the database is given up, so that its caller gets an answer in time. */
export const REQUEST_BUDGET_MS = 3_000;

const deadlines = new AsyncLocalStorage<number>();

/** Runs `work`, and all that it starts, as a request that must be done at that monotonic instant. */
export function withDeadline<T>(deadline: number, work: () => T): T {
  return deadlines.run(deadline, work);
}

/** The monotonic instant at which the current request must be done; none outside of requests. */
export function currentDeadline(): number | undefined {
  return deadlines.getStore();
}
