import { setImmediate as turn } from 'node:timers/promises';

/** Milliseconds within which what a timer does must have been done, once it goes off. */
const PATIENCE_MS = 10_000;

/**
 * Has every timer that `work` sets to so many milliseconds go off after a moment, since no test waits that long; returns once
 * `isDone` says so, or not soon.
 */
export async function hastening(
  milliseconds: number,
  work: () => Promise<void>,
  isDone: () => Promise<boolean>,
): Promise<void> {
  const { setTimeout: later } = globalThis;
  const timers = jest
    .spyOn(globalThis, 'setTimeout')
    .mockImplementation((task: () => void, ms?: number) => later(task, ms === milliseconds ? 10 : ms));
  try {
    await work();
    const deadline = performance.now() + PATIENCE_MS;
    while (!(await isDone()) && performance.now() < deadline) await turn();
  } finally {
    timers.mockRestore();
  }
}
