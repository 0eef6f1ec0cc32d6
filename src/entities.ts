import { EntitySchema, getMetadataArgsStorage } from 'typeorm';
import { ApiKey, ApiKeySecret } from './api-keys/api-key.entity';
import { AuditChainRow } from './audit/audit-chain.entity';
import { AuditEventRow } from './audit/audit-event.entity';
import { LimitCounterRow } from './rate-limit/limit-counter.entity';
import { PasswordAttemptsRow } from './rate-limit/password-attempts.entity';
import { revocationEntrySchema } from './revocation/revocation-entry.entity';
import { Session } from './sessions/session.entity';
import { User } from './users/user.entity';

/** Every entity, for the application's data source and for TypeORM's command line. */
export const entities = (engine: 'sqlite' | 'mysql') => [
  User,
  Session,
  ApiKey,
  ApiKeySecret,
  AuditEventRow,
  AuditChainRow,
  PasswordAttemptsRow,
  LimitCounterRow,
  revocationEntrySchema(engine),
];

/** The table of each. */
export const tableNames = (engine: 'sqlite' | 'mysql'): string[] => {
  const { tables } = getMetadataArgsStorage();
  return entities(engine).map((entity) =>
    entity instanceof EntitySchema
      ? (entity.options.tableName as string)
      : (tables.find(({ target }) => target === entity)?.name as string),
  );
};
