import { KeyUsage, SecretUsage } from '../../src/api-keys/key-usage';
import { AuditSealer } from '../../src/audit/audit-sealer';
import { CounterKeeper } from '../../src/rate-limit/counter-keeper';
import { RevocationFeed } from '../../src/revocation/revocation-feed';
import { SessionUsage } from '../../src/sessions/session-usage';
import type { TestApp } from './app';

const BACKGROUND = [RevocationFeed, SessionUsage, KeyUsage, SecretUsage, AuditSealer, CounterKeeper];

/** Ends what goes on behind the requests' backs, so that only what is asked for is counted. The cleanups come once a minute. */
export async function quiet(app: TestApp): Promise<void> {
  for (const background of BACKGROUND) {
    await app.nest.get<{ onApplicationShutdown(): Promise<void> }>(background).onApplicationShutdown();
  }
}
