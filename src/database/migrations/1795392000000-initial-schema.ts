import type { MigrationInterface, QueryRunner } from 'typeorm';
import { dialectOf } from './dialect';

/** Accounts, sessions, API keys, the revocation feed and the audit trail. */
export class InitialSchema1795392000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const { counter, ownedBy, tableOptions } = dialectOf(runner);
    await runner.query(`CREATE TABLE users (
      id varchar(40) NOT NULL PRIMARY KEY,
      username varchar(64) NOT NULL,
      username_canonical varchar(64) NOT NULL,
      email varchar(254) NOT NULL,
      email_canonical varchar(254) NOT NULL,
      password_hash varchar(255) NOT NULL,
      credential_version integer NOT NULL,
      scopes varchar(2100) NOT NULL,
      disabled_at datetime(3),
      created_at datetime(3) NOT NULL
    ) ${tableOptions}`);
    await runner.query('CREATE UNIQUE INDEX uq_users_username ON users (username_canonical)');
    await runner.query('CREATE UNIQUE INDEX uq_users_email ON users (email_canonical)');

    await runner.query(`CREATE TABLE sessions (
      id varchar(40) NOT NULL PRIMARY KEY,
      user_id varchar(40) NOT NULL,
      generation integer NOT NULL,
      nonce_hash varchar(64) NOT NULL,
      idempotency_hash varchar(64),
      created_at datetime(3) NOT NULL,
      rotated_at datetime(3),
      idle_ends_at datetime(3) NOT NULL,
      ends_at datetime(3) NOT NULL,
      access_ends_at datetime(3) NOT NULL,
      revoked_at datetime(3),
      revocation_reason varchar(32),
      ip varchar(45) NOT NULL,
      user_agent varchar(256),
      ${ownedBy('fk_sessions_user', 'user_id', 'users')}
    ) ${tableOptions}`);
    await runner.query('CREATE INDEX ix_sessions_user ON sessions (user_id)');

    await runner.query(`CREATE TABLE api_keys (
      id varchar(40) NOT NULL PRIMARY KEY,
      user_id varchar(40) NOT NULL,
      name varchar(100) NOT NULL,
      scopes varchar(2100) NOT NULL,
      allowed_ips varchar(2500),
      expires_at datetime(3),
      disabled_at datetime(3),
      created_at datetime(3) NOT NULL,
      ${ownedBy('fk_api_keys_user', 'user_id', 'users')}
    ) ${tableOptions}`);
    await runner.query('CREATE INDEX ix_api_keys_user ON api_keys (user_id)');

    await runner.query(`CREATE TABLE api_key_secrets (
      hash varchar(64) NOT NULL PRIMARY KEY,
      key_id varchar(40) NOT NULL,
      created_at datetime(3) NOT NULL,
      last_used_at datetime(3),
      ${ownedBy('fk_api_key_secrets_key', 'key_id', 'api_keys')}
    ) ${tableOptions}`);
    await runner.query('CREATE INDEX ix_api_key_secrets_key ON api_key_secrets (key_id)');

    await runner.query(`CREATE TABLE revocation_entries (
      ${counter('position')},
      subject varchar(16) NOT NULL,
      subject_id varchar(40) NOT NULL,
      expires_at datetime(3) NOT NULL
    ) ${tableOptions}`);
    await runner.query('CREATE INDEX ix_revocation_entries_expires ON revocation_entries (expires_at)');

    await runner.query(`CREATE TABLE audit_events (
      id varchar(40) NOT NULL PRIMARY KEY,
      occurred_at datetime(3) NOT NULL,
      type varchar(40) NOT NULL,
      user_id varchar(40) NOT NULL,
      credential_id varchar(40),
      ip varchar(45) NOT NULL,
      request_id varchar(40) NOT NULL
    ) ${tableOptions}`);
    await runner.query('CREATE INDEX ix_audit_events_user ON audit_events (user_id, id)');
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of [
      'audit_events',
      'revocation_entries',
      'api_key_secrets',
      'api_keys',
      'sessions',
      'users',
    ]) {
      await runner.query(`DROP TABLE ${table}`);
    }
  }
}
