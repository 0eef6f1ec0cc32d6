import type { MigrationInterface, QueryRunner } from 'typeorm';

/** When a session was last used, and the ways by which dead sessions are found. */
export class SessionUseAndCleanup1795478400000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE sessions ADD COLUMN last_used_at datetime(3)');
    await runner.query('CREATE INDEX ix_sessions_idle_ends ON sessions (idle_ends_at)');
    await runner.query('CREATE INDEX ix_sessions_revoked ON sessions (revoked_at)');
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const index of ['ix_sessions_revoked', 'ix_sessions_idle_ends']) {
      const onTable = runner.dataSource.options.type === 'better-sqlite3' ? '' : ' ON sessions';
      await runner.query(`DROP INDEX ${index}${onTable}`);
    }
    await runner.query('ALTER TABLE sessions DROP COLUMN last_used_at');
  }
}
