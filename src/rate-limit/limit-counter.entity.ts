import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { INSTANT, text } from '../database/columns';

/** What was counted in a window of time of one address or session, over all instances that have no Redis. */
@Entity('limit_counters')
@Index('ix_limit_counters_ends', ['endsAt'])
export class LimitCounterRow {
  /** Name of the limit, number of the window, and keyed digest of what is counted, with colons between. */
  @PrimaryColumn({ ...text(120), name: 'id', primaryKeyConstraintName: 'pk_limit_counters' })
  id: string;

  /** How many were taken. */
  @Column({ type: 'int', name: 'points' })
  points: number;

  /** When the window is over. */
  @Column({ ...INSTANT, name: 'ends_at' })
  endsAt: Date;
}
