import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Two secrets per key while one replaces the other, and keys that were reported as found. */
export class KeyRotation1795510000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE api_keys ADD COLUMN last_used_at datetime(3)');
    await runner.query('ALTER TABLE api_keys ADD COLUMN reported_at datetime(3)');
    await runner.query('ALTER TABLE api_key_secrets ADD COLUMN replaced_at datetime(3)');
    await runner.query('ALTER TABLE api_key_secrets ADD COLUMN ends_at datetime(3)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE api_key_secrets DROP COLUMN ends_at');
    await runner.query('ALTER TABLE api_key_secrets DROP COLUMN replaced_at');
    await runner.query('ALTER TABLE api_keys DROP COLUMN reported_at');
    await runner.query('ALTER TABLE api_keys DROP COLUMN last_used_at');
  }
}
