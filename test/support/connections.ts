import { Transactions } from '../../src/database/transactions';
import type { TestApp } from './app';
import { onMysql } from './database';
import { gate } from './gate';

/** How many units of work an instance has under way at once. On SQLite one passes at a time. */
export const CONNECTIONS = onMysql ? 10 : 1;

/** Holds every connection of an instance. The function returned lets go, and returns when all have been given back. */
export async function holdConnections(app: TestApp): Promise<() => Promise<void>> {
  const leave = gate();
  const holding = Array.from({ length: CONNECTIONS }, () => {
    const held = gate();
    const work = app.nest.get(Transactions).read(() => {
      held.open();
      return leave.opened;
    });
    return { held: held.opened, work };
  });
  await Promise.all(holding.map(({ held }) => held));
  return async () => {
    leave.open();
    await Promise.all(holding.map(({ work }) => work));
  };
}
