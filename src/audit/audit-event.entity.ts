import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { DIGEST, ID, INSTANT, text } from '../database/columns';

/**
 * A security event as it is kept. It outlives what it tells of, so it refers to nothing by foreign key. The columns that
 * may be empty came later: what an older release writes is without them until it is sealed.
 */
@Entity('audit_events')
@Index('ix_audit_events_user', ['userId', 'id'])
@Index('ix_audit_events_chain', ['sequence', 'id'])
export class AuditEventRow {
  /** Ids sort by time. */
  @PrimaryColumn({ ...ID, name: 'id', primaryKeyConstraintName: 'pk_audit_events' })
  id: string;

  @Column({ ...INSTANT, name: 'occurred_at' })
  occurredAt: Date;

  @Column({ ...text(40), name: 'type' })
  type: string;

  /** A word that says more, for the types that have one. */
  @Column({ ...text(40), name: 'reason', nullable: true })
  reason: string | null;

  /** The account it concerns; empty where a sign-in named none that exists. */
  @Column({ ...ID, name: 'user_id' })
  userId: string;

  /** The session or key that acted or was acted on. */
  @Column({ ...ID, name: 'credential_id', nullable: true })
  credentialId: string | null;

  /** Emptied with the account, like the other details. */
  @Column({ ...text(45), name: 'ip' })
  ip: string;

  @Column({ ...text(256), name: 'user_agent', nullable: true })
  userAgent: string | null;

  @Column({ ...ID, name: 'request_id' })
  requestId: string;

  /** Random. Goes with the details, so that nobody can find out by trying what they were. */
  @Column({ ...text(32), name: 'salt', nullable: true })
  salt: string | null;

  /** Keyed digest of the event, its details and the salt included. It stays when they go. */
  @Column({ ...DIGEST, name: 'digest', nullable: true })
  digest: string | null;

  /** Its place in the chain, from 1 without gaps; empty until it is sealed. */
  @Column({ type: 'bigint', name: 'sequence', nullable: true })
  sequence: string | number | null;

  /** Keyed digest of the link before and of this event. */
  @Column({ ...DIGEST, name: 'link', nullable: true })
  link: string | null;
}
