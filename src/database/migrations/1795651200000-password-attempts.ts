import type { MigrationInterface, QueryRunner } from 'typeorm';
import { dialectOf } from './dialect';

/** How often passwords were tried against what, so that the limits hold over instances and restarts. */
export class PasswordAttempts1795651200000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE password_attempts (
      id varchar(64) NOT NULL PRIMARY KEY,
      evaluated varchar(1200) NOT NULL,
      in_a_row integer NOT NULL,
      version integer NOT NULL,
      ends_at datetime(3) NOT NULL
    ) ${dialectOf(runner).tableOptions}`);
    await runner.query('CREATE INDEX ix_password_attempts_ends ON password_attempts (ends_at)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE password_attempts');
  }
}
