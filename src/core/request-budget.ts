import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * Milliseconds that a request may spend with the database, all its units of work together, so that its caller gets an answer
 * in time. What it spends elsewhere is bounded where it is spent: a password that has waited for its turn to be hashed must
 * not then be refused for want of time.
 */
export const REQUEST_BUDGET_MS = 3_000;

/** What is left, in milliseconds. Whoever spends takes it away. */
export interface RequestBudget {
  left: number;
}

const budgets = new AsyncLocalStorage<RequestBudget>();

/** Runs `work`, and all that it starts, as a request that may spend so many milliseconds with the database. */
export function withBudget<T>(milliseconds: number, work: () => T): T {
  return budgets.run({ left: milliseconds }, work);
}

/** Runs `work` with so much of what the current budget has left, or with so much where there is none. */
export async function withPartOfBudget<T>(milliseconds: number, work: () => Promise<T>): Promise<T> {
  const whole = currentBudget() ?? { left: milliseconds };
  const given = Math.min(milliseconds, whole.left);
  const part = { left: given };
  try {
    return await budgets.run(part, work);
  } finally {
    whole.left -= given - part.left;
  }
}

/** Of the current request; none outside of requests. */
export function currentBudget(): RequestBudget | undefined {
  return budgets.getStore();
}
