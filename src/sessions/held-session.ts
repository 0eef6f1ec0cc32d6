import type { EntityManager } from 'typeorm';
import { select, toInstant } from '../database/sql';
import type { Session } from './session.entity';

/** What an access token says of whoever holds the session. */
export interface SessionHolder {
  username: string;
  /** Space-separated. */
  scopes: string;
}

/** A session as a refresh sees it: what it is judged by and what goes into the answer, all as of one moment. */
export type HeldSession = Pick<
  Session,
  | 'id'
  | 'userId'
  | 'generation'
  | 'nonceHash'
  | 'idempotencyHash'
  | 'createdAt'
  | 'rotatedAt'
  | 'idleEndsAt'
  | 'endsAt'
  | 'accessEndsAt'
  | 'revokedAt'
> & { holder: SessionHolder };

type Stored<Row> = { [Name in keyof Row]: Row[Name] extends Date | null ? Row[Name] | string : Row[Name] };

/** The session of that id with its holder, or null; one statement, by two primary keys. */
export async function readHeldSession(tx: EntityManager, sessionId: string): Promise<HeldSession | null> {
  const [row] = await select<Stored<Omit<HeldSession, 'holder'> & SessionHolder>>(
    tx,
    `SELECT s.id AS id, s.user_id AS userId, s.generation AS generation, s.nonce_hash AS nonceHash,
       s.idempotency_hash AS idempotencyHash, s.created_at AS createdAt, s.rotated_at AS rotatedAt,
       s.idle_ends_at AS idleEndsAt, s.ends_at AS endsAt, s.access_ends_at AS accessEndsAt, s.revoked_at AS revokedAt,
       u.username AS username, u.scopes AS scopes
     FROM sessions s JOIN users u ON u.id = s.user_id
     WHERE s.id = ?`,
    [sessionId],
  );
  if (!row) return null;
  const { username, scopes, ...session } = row;
  return {
    ...session,
    createdAt: toInstant(row.createdAt),
    rotatedAt: row.rotatedAt === null ? null : toInstant(row.rotatedAt),
    idleEndsAt: toInstant(row.idleEndsAt),
    endsAt: toInstant(row.endsAt),
    accessEndsAt: toInstant(row.accessEndsAt),
    revokedAt: row.revokedAt === null ? null : toInstant(row.revokedAt),
    holder: { username, scopes },
  };
}
