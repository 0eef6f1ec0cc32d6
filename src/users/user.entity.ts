import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { ID, INSTANT, OPTIONAL_INSTANT, text } from '../database/columns';

/** An account. */
@Entity('users')
@Index('uq_users_username', ['usernameCanonical'], { unique: true })
@Index('uq_users_email', ['emailCanonical'], { unique: true })
export class User {
  @PrimaryColumn({ ...ID, name: 'id', primaryKeyConstraintName: 'pk_users' })
  id: string;

  /** As typed. */
  @Column({ ...text(64), name: 'username' })
  username: string;

  /** As compared. */
  @Column({ ...text(64), name: 'username_canonical' })
  usernameCanonical: string;

  /** As typed. */
  @Column({ ...text(254), name: 'email' })
  email: string;

  /** As compared. */
  @Column({ ...text(254), name: 'email_canonical' })
  emailCanonical: string;

  /** Argon2id as a PHC string; after an import one of the forms in crypto/stored-hash.ts, until it is renewed. */
  @Column({ ...text(255), name: 'password_hash' })
  passwordHash: string;

  /** Counts password changes: whatever was proven against an earlier version is no longer proven. */
  @Column({ type: 'int', name: 'credential_version' })
  credentialVersion: number;

  /** What the account may do at most, space-separated; `*` is everything but what only an operator grants. */
  @Column({ ...text(2100), name: 'scopes' })
  scopes: string;

  @Column({ ...OPTIONAL_INSTANT, name: 'disabled_at' })
  disabledAt: Date | null;

  @Column({ ...INSTANT, name: 'created_at' })
  createdAt: Date;
}

/** An account as its owner sees it. */
export type Profile = Pick<User, 'id' | 'username' | 'email' | 'createdAt'>;
