import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { DIGEST, INSTANT, text } from '../database/columns';

/** What is remembered of the passwords that were tried against one account, unknown name, device or session. */
@Entity('password_attempts')
@Index('ix_password_attempts_ends', ['endsAt'])
export class PasswordAttemptsRow {
  /** Keyed digest of what they were tried against: people type passwords where names belong. */
  @PrimaryColumn({ ...DIGEST, name: 'id', primaryKeyConstraintName: 'pk_password_attempts' })
  id: string;

  /** When each was let in, in seconds, separated by commas. */
  @Column({ ...text(1200), name: 'evaluated' })
  evaluated: string;

  /** How many of the last of them are in a row. */
  @Column({ type: 'int', name: 'in_a_row' })
  inARow: number;

  /** Counts changes: whoever has read an earlier version changes nothing. */
  @Column({ type: 'int', name: 'version' })
  version: number;

  /** When none of it counts any more. */
  @Column({ ...INSTANT, name: 'ends_at' })
  endsAt: Date;
}
