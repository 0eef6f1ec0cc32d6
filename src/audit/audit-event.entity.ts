import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { ID, INSTANT, text } from '../database/columns';

/** A security event as it is kept. It outlives what it tells of, so it refers to nothing by foreign key. */
@Entity('audit_events')
@Index('ix_audit_events_user', ['userId', 'id'])
export class AuditEventRow {
  /** Ids sort by time. */
  @PrimaryColumn({ ...ID, name: 'id', primaryKeyConstraintName: 'pk_audit_events' })
  id: string;

  @Column({ ...INSTANT, name: 'occurred_at' })
  occurredAt: Date;

  @Column({ ...text(40), name: 'type' })
  type: string;

  /** The account it concerns. */
  @Column({ ...ID, name: 'user_id' })
  userId: string;

  /** The session or key that acted or was acted on. */
  @Column({ ...ID, name: 'credential_id', nullable: true })
  credentialId: string | null;

  @Column({ ...text(45), name: 'ip' })
  ip: string;

  @Column({ ...ID, name: 'request_id' })
  requestId: string;
}
