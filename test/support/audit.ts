import { AuditSealer } from '../../src/audit/audit-sealer';
import { AuditVerifier, type Expectations, type Verdict } from '../../src/audit/audit-verifier';
import { EventSeal } from '../../src/audit/event-seal';
import { type Failpoint, Failpoints } from '../../src/core/failpoints';
import { Ids } from '../../src/core/ids';
import { LOG } from '../../src/core/log';
import { SystemRandom } from '../../src/core/random';
import { Transactions } from '../../src/database/transactions';
import type { TestApp } from './app';

/** What happens where the sealer passes. */
export type AtPlaces = Partial<Record<Failpoint, () => Promise<void>>>;

/** Another sealer over the application's database, as another instance would have one; works when it is told to. */
export function sealerBeside(app: TestApp, places: AtPlaces = {}): AuditSealer {
  const failpoints = new Failpoints();
  failpoints.reach = (point) => places[point]?.();
  const random = new SystemRandom();
  return new AuditSealer(
    app.nest.get(Transactions),
    app.nest.get(EventSeal),
    app.clock,
    random,
    failpoints,
    app.nest.get(LOG),
    new Ids(app.clock, random),
  );
}

/** Stops the application's own sealer, so that a test says when events are sealed. */
export async function sealByHand(app: TestApp): Promise<void> {
  await app.nest.get(AuditSealer).onApplicationShutdown();
}

export function verify(app: TestApp, expectations: Expectations = {}): Promise<Verdict> {
  return app.nest.get(AuditVerifier).verify(expectations);
}
