import type { Logger } from 'typeorm';

/**
 * Keeps TypeORM from writing to the console. What fails comes back as an error and is logged once, where it is answered;
 * TypeORM would print statements with their parameters, digests and hashes among them.
 */
export class QuietLogger implements Logger {
  logQuery(): void {}
  logQueryError(): void {}
  logQuerySlow(): void {}
  logSchemaBuild(): void {}
  logMigration(): void {}
  log(): void {}
}
