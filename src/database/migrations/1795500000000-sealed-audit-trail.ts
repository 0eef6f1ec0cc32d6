import type { MigrationInterface, QueryRunner } from 'typeorm';
import { dialectOf } from './dialect';

/** What seals the audit trail. All columns may be empty: the release before goes on to write events without them. */
export class SealedAuditTrail1795500000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const { tableOptions } = dialectOf(runner);
    for (const column of COLUMNS) await runner.query(`ALTER TABLE audit_events ADD COLUMN ${column}`);
    await runner.query('CREATE INDEX ix_audit_events_chain ON audit_events (sequence, id)');

    await runner.query(`CREATE TABLE audit_chain (
      name varchar(40) NOT NULL PRIMARY KEY,
      sequence bigint NOT NULL,
      link varchar(64) NOT NULL,
      holder varchar(40) NOT NULL,
      lease_ends_at datetime(3) NOT NULL
    ) ${tableOptions}`);
    await runner.query(
      "INSERT INTO audit_chain (name, sequence, link, holder, lease_ends_at) VALUES ('audit_events', 0, '', '', '2000-01-01 00:00:00.000')",
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE audit_chain');
    const { type } = runner.dataSource.options;
    await runner.query(
      `DROP INDEX ix_audit_events_chain${type === 'better-sqlite3' ? '' : ' ON audit_events'}`,
    );
    for (const column of COLUMNS) {
      await runner.query(`ALTER TABLE audit_events DROP COLUMN ${column.split(' ')[0]}`);
    }
  }
}

const COLUMNS = [
  'reason varchar(40)',
  'user_agent varchar(256)',
  'salt varchar(32)',
  'digest varchar(64)',
  'sequence bigint',
  'link varchar(64)',
];
