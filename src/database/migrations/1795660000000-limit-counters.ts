import type { MigrationInterface, QueryRunner } from 'typeorm';
import { dialectOf } from './dialect';

/** What is counted by windows of time, so that those limits hold over restarts too. */
export class LimitCounters1795660000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE limit_counters (
      id varchar(120) NOT NULL PRIMARY KEY,
      points integer NOT NULL,
      ends_at datetime(3) NOT NULL
    ) ${dialectOf(runner).tableOptions}`);
    await runner.query('CREATE INDEX ix_limit_counters_ends ON limit_counters (ends_at)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE limit_counters');
  }
}
