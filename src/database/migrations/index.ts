import { InitialSchema1795392000000 } from './1795392000000-initial-schema';
import { SessionUseAndCleanup1795478400000 } from './1795478400000-session-use-and-cleanup';
import { SealedAuditTrail1795500000000 } from './1795500000000-sealed-audit-trail';
import { KeyRotation1795510000000 } from './1795510000000-key-rotation';
import { PasswordAttempts1795651200000 } from './1795651200000-password-attempts';
import { LimitCounters1795660000000 } from './1795660000000-limit-counters';

/** All migrations, for both engines, oldest first. They only ever add, so that an older release keeps working beside. */
export const migrations = [
  InitialSchema1795392000000,
  SessionUseAndCleanup1795478400000,
  SealedAuditTrail1795500000000,
  KeyRotation1795510000000,
  PasswordAttempts1795651200000,
  LimitCounters1795660000000,
];
