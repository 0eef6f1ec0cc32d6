import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { DIGEST, ID, INSTANT, OPTIONAL_INSTANT, OWNED, text } from '../database/columns';

/** Why a session ended before its time. */
export type RevocationReason =
  | 'logout'
  | 'ended_by_owner'
  | 'refresh_token_reused'
  | 'password_changed'
  | 'account_disabled'
  | 'account_deleted'
  | 'account_scopes_changed'
  | 'session_limit'
  | 'ended_by_operator';

/** One signed-in device. All refresh tokens that rotation ever made of one login are one row. */
@Entity('sessions')
@Index('ix_sessions_user', ['userId'])
@Index('ix_sessions_idle_ends', ['idleEndsAt'])
@Index('ix_sessions_revoked', ['revokedAt'])
export class Session {
  @PrimaryColumn({ ...ID, name: 'id', primaryKeyConstraintName: 'pk_sessions' })
  id: string;

  @ForeignKey('User', { ...OWNED, name: 'fk_sessions_user' })
  @Column({ ...ID, name: 'user_id' })
  userId: string;

  /** The generation of the one refresh token that is live. */
  @Column({ type: 'int', name: 'generation' })
  generation: number;

  /** SHA-256 of the random part that only the client holds. */
  @Column({ ...DIGEST, name: 'nonce_hash' })
  nonceHash: string;

  /** SHA-256 of the `Idempotency-Key` of the last rotation, if it had one. */
  @Column({ ...DIGEST, name: 'idempotency_hash', nullable: true })
  idempotencyHash: string | null;

  /** The sign-in: the moment the password was shown. Refreshing does not renew it. */
  @Column({ ...INSTANT, name: 'created_at' })
  createdAt: Date;

  @Column({ ...OPTIONAL_INSTANT, name: 'rotated_at' })
  rotatedAt: Date | null;

  /** When an access token of it was last used; written in batches, forward only. */
  @Column({ ...OPTIONAL_INSTANT, name: 'last_used_at' })
  lastUsedAt: Date | null;

  /** When it ends if nobody refreshes; never beyond `endsAt`. */
  @Column({ ...INSTANT, name: 'idle_ends_at' })
  idleEndsAt: Date;

  /** When it ends however busy. */
  @Column({ ...INSTANT, name: 'ends_at' })
  endsAt: Date;

  /** No access token of this session is valid beyond this; a revocation must be remembered until then. */
  @Column({ ...INSTANT, name: 'access_ends_at' })
  accessEndsAt: Date;

  @Column({ ...OPTIONAL_INSTANT, name: 'revoked_at' })
  revokedAt: Date | null;

  @Column({ ...text(32), name: 'revocation_reason', nullable: true })
  revocationReason: RevocationReason | null;

  /** Address of the last sign-in or refresh. */
  @Column({ ...text(45), name: 'ip' })
  ip: string;

  /** As sent, cut to fit. */
  @Column({ ...text(256), name: 'user_agent', nullable: true })
  userAgent: string | null;
}
