import { Column, Entity, PrimaryColumn } from 'typeorm';
import { DIGEST, ID, INSTANT } from '../database/columns';

/** How far the chain has come, and who may add to it. One row, which no request ever touches. */
@Entity('audit_chain')
export class AuditChainRow {
  @PrimaryColumn({ ...ID, name: 'name', primaryKeyConstraintName: 'pk_audit_chain' })
  name: string;

  /** The place of the last sealed event; 0 before the first. */
  @Column({ type: 'bigint', name: 'sequence' })
  sequence: string | number;

  /** The last link; empty before the first. */
  @Column({ ...DIGEST, name: 'link' })
  link: string;

  /** The sealer whose turn it is. */
  @Column({ ...ID, name: 'holder' })
  holder: string;

  /** When anybody may take its place. */
  @Column({ ...INSTANT, name: 'lease_ends_at' })
  leaseEndsAt: Date;
}
