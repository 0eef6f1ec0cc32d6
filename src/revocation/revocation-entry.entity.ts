import { EntitySchema } from 'typeorm';
import { ID, INSTANT, text } from '../database/columns';

/** What can be revoked by a line of the feed. */
export type RevocationSubject = 'session' | 'api_key';

/** What is no longer, or no longer as it was. */
export interface RevocationLine {
  subject: RevocationSubject;
  subjectId: string;
  /** When nothing that it concerns can be valid any more, and it may be forgotten. */
  expiresAt: Date;
}

/** A line of the feed that tells all instances. */
export interface RevocationEntry extends RevocationLine {
  /** Order of insertion, which is not the order of commits. */
  position: string | number;
}

/**
 * The one table whose key counts. A schema rather than a decorated class, because the type of a counter differs: SQLite
 * counts in INTEGER only, and on MySQL an INT would run out.
 */
export const revocationEntrySchema = (engine: 'sqlite' | 'mysql') =>
  new EntitySchema<RevocationEntry>({
    name: 'RevocationEntry',
    tableName: 'revocation_entries',
    columns: {
      position: {
        type: engine === 'sqlite' ? 'integer' : 'bigint',
        primary: true,
        primaryKeyConstraintName: 'pk_revocation_entries',
        generated: 'increment',
        name: 'position',
      },
      subject: { ...text(16), name: 'subject' },
      subjectId: { ...ID, name: 'subject_id' },
      expiresAt: { ...INSTANT, name: 'expires_at' },
    },
    indices: [{ name: 'ix_revocation_entries_expires', columns: ['expiresAt'] }],
  });
