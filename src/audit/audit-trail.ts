import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Clock } from '../core/clock';
import { Ids } from '../core/ids';
import type { Origin } from '../core/origin';
import { AuditEventRow } from './audit-event.entity';
import type { SecurityEvent } from './security-event';

/** Writes down what happened, in the transaction in which it happened: the one is never there without the other. */
@Injectable()
export class AuditTrail {
  constructor(
    private readonly clock: Clock,
    private readonly ids: Ids,
  ) {}

  /** Records an event inside `tx`. `origin` is the request that caused it. */
  async record(tx: EntityManager, event: SecurityEvent, origin: Origin): Promise<void> {
    await tx.insert(AuditEventRow, {
      id: this.ids.next('evt'),
      occurredAt: this.clock.now(),
      type: event.type,
      userId: event.userId,
      credentialId: credentialOf(event),
      ip: origin.ip,
      requestId: origin.requestId,
    });
  }
}

function credentialOf(event: SecurityEvent): string | null {
  if ('sessionId' in event) return event.sessionId;
  return 'keyId' in event ? event.keyId : null;
}
