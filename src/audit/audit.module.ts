import { Global, Module } from '@nestjs/common';
import { AuditExport } from './audit-export';
import { AuditSealer } from './audit-sealer';
import { AuditTrail } from './audit-trail';
import { AuditVerifier } from './audit-verifier';
import { EventHistory } from './event-history';
import { EventSeal } from './event-seal';

@Global()
@Module({
  providers: [AuditTrail, AuditSealer, AuditVerifier, AuditExport, EventHistory, EventSeal],
  exports: [AuditTrail, AuditVerifier, AuditExport, EventHistory],
})
export class AuditModule {}
