import type { KeyUsage, SecretUsage } from '../../src/api-keys/key-usage';
import type { SessionUsage } from '../../src/sessions/session-usage';
import type { TestApp } from './app';

type Usage = typeof KeyUsage | typeof SecretUsage | typeof SessionUsage;

/** Writes down what has been used so far, also what a round under way has taken with it and not yet written. */
export async function writeLastUses(app: TestApp, ...usages: Usage[]): Promise<void> {
  for (const usage of usages) {
    const uses = app.nest.get<{ flushing: { current?: Promise<void> }; flush(): Promise<void> }>(usage);
    await uses.flushing.current;
    await uses.flush();
  }
}
