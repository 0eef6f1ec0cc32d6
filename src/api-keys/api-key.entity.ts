import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { sha256Hex } from '../crypto/sha256';
import { DIGEST, ID, INSTANT, OPTIONAL_INSTANT, OWNED, text } from '../database/columns';

/** What an owner manages: a name, limits, and one secret or, while it is being rotated, two. */
@Entity('api_keys')
@Index('ix_api_keys_user', ['userId'])
export class ApiKey {
  @PrimaryColumn({ ...ID, name: 'id', primaryKeyConstraintName: 'pk_api_keys' })
  id: string;

  @ForeignKey('User', { ...OWNED, name: 'fk_api_keys_user' })
  @Column({ ...ID, name: 'user_id' })
  userId: string;

  @Column({ ...text(100), name: 'name' })
  name: string;

  /** Space-separated. */
  @Column({ ...text(2100), name: 'scopes' })
  scopes: string;

  /** Addresses and CIDR ranges it may be used from, space-separated; null: from anywhere. */
  @Column({ ...text(2500), name: 'allowed_ips', nullable: true })
  allowedIps: string | null;

  @Column({ ...OPTIONAL_INSTANT, name: 'expires_at' })
  expiresAt: Date | null;

  @Column({ ...OPTIONAL_INSTANT, name: 'disabled_at' })
  disabledAt: Date | null;

  /** When somebody reported the secret as found; null again once it has been replaced. */
  @Column({ ...OPTIONAL_INSTANT, name: 'reported_at' })
  reportedAt: Date | null;

  /** The last use by any of its secrets, those of the past included. Written in batches, forward only. */
  @Column({ ...OPTIONAL_INSTANT, name: 'last_used_at' })
  lastUsedAt: Date | null;

  @Column({ ...INSTANT, name: 'created_at' })
  createdAt: Date;
}

/** A secret of a key, found by its digest. The secret itself is shown once and kept nowhere. */
@Entity('api_key_secrets')
@Index('ix_api_key_secrets_key', ['keyId'])
export class ApiKeySecret {
  /** SHA-256 of the whole key as presented. */
  @PrimaryColumn({ ...DIGEST, name: 'hash', primaryKeyConstraintName: 'pk_api_key_secrets' })
  hash: string;

  @ForeignKey('ApiKey', { ...OWNED, name: 'fk_api_key_secrets_key' })
  @Column({ ...ID, name: 'key_id' })
  keyId: string;

  @Column({ ...INSTANT, name: 'created_at' })
  createdAt: Date;

  /** When a rotation put another secret in its place; null: it is the key's current one. */
  @Column({ ...OPTIONAL_INSTANT, name: 'replaced_at' })
  replacedAt: Date | null;

  /** When it stops working, once it has been replaced. */
  @Column({ ...OPTIONAL_INSTANT, name: 'ends_at' })
  endsAt: Date | null;

  /** Written in batches, forward only. */
  @Column({ ...OPTIONAL_INSTANT, name: 'last_used_at' })
  lastUsedAt: Date | null;
}

/** The row of a secret that is to be the key's current one. */
export function newSecret(keyId: string, secret: string, createdAt: Date): ApiKeySecret {
  return { hash: sha256Hex(secret), keyId, createdAt, replacedAt: null, endsAt: null, lastUsedAt: null };
}
