import { KeyUsage, SecretUsage } from '../../src/api-keys/key-usage';
import { AuditSealer } from '../../src/audit/audit-sealer';
import { CounterKeeper } from '../../src/rate-limit/counter-keeper';
import { LimitCountersCleanup } from '../../src/rate-limit/limit-counters-cleanup';
import { PasswordAttemptsCleanup } from '../../src/rate-limit/password-attempts-cleanup';
import { RevocationCleanup } from '../../src/revocation/revocation-cleanup';
import { RevocationFeed } from '../../src/revocation/revocation-feed';
import { SessionCleanup } from '../../src/sessions/session-cleanup';
import { SessionUsage } from '../../src/sessions/session-usage';
import type { TestApp } from './app';

const BACKGROUND = [
  ...[RevocationFeed, SessionUsage, KeyUsage, SecretUsage, AuditSealer, CounterKeeper],
  ...[SessionCleanup, RevocationCleanup, PasswordAttemptsCleanup, LimitCountersCleanup],
];

/** Ends what goes on behind the requests' backs, so that only what is asked for is counted. */
export async function quiet(app: TestApp): Promise<void> {
  for (const background of BACKGROUND) {
    await app.nest.get<{ onApplicationShutdown(): Promise<void> }>(background).onApplicationShutdown();
  }
}
