import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { AuditTrail } from '../audit/audit-trail';
import { Clock } from '../core/clock';
import { Ids } from '../core/ids';
import type { Origin } from '../core/origin';
import { Random } from '../core/random';
import { NONCE_BYTES } from '../crypto/refresh-token-format';
import { sha256Hex } from '../crypto/sha256';
import { findOne, insertOne } from '../database/rows';
import { execute, select, toInstant } from '../database/sql';
import { Transactions } from '../database/transactions';
import { RevocationAnnouncer } from '../revocation/revocation-announcer';
import { type SessionGrant, SessionGrants } from './session-grants';
import { SessionLifetimes } from './session-lifetimes';
import { type RevocationReason, Session } from './session.entity';

/** Sessions an account may have at once. One more, and the longest idle one gives way. */
export const SESSIONS_PER_ACCOUNT = 100;

/** Until when access tokens of a session may be valid. */
type EndOfAccess = Pick<Session, 'id' | 'accessEndsAt'>;

/** Opens and ends sessions; `SessionRotation` is what keeps one going. */
@Injectable()
export class SessionsService {
  constructor(
    private readonly transactions: Transactions,
    private readonly lifetimes: SessionLifetimes,
    private readonly announcer: RevocationAnnouncer,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly ids: Ids,
    private readonly grants: SessionGrants,
  ) {}

  /**
   * Opens a session inside `tx`, which must hold the account's lock: that makes the count of sessions hold, and keeps a
   * login from outrunning a revocation.
   */
  async open(tx: EntityManager, userId: string, origin: Origin): Promise<SessionGrant> {
    const now = this.clock.now();
    const nonce = this.random.bytes(NONCE_BYTES);
    const endsAt = this.lifetimes.absoluteEnd(now);
    const idleEndsAt = this.lifetimes.idleEnd(now, endsAt);
    const session: Session = {
      id: this.ids.next('sess'),
      userId,
      generation: 0,
      nonceHash: sha256Hex(nonce),
      idempotencyHash: null,
      createdAt: now,
      rotatedAt: null,
      lastUsedAt: null,
      idleEndsAt,
      endsAt,
      accessEndsAt: this.lifetimes.latestAccessTokenExpiry(now, idleEndsAt),
      revokedAt: null,
      revocationReason: null,
      ip: origin.ip,
      userAgent: origin.userAgent,
    };
    await this.makeRoom(tx, userId, now, origin);
    await insertOne(tx, Session, session);
    return this.grants.of(session, { sessionId: session.id, generation: 0, nonce }, now);
  }

  /**
   * Ends a session inside `tx`. From the commit on this instance refuses its tokens at once, others within a second.
   *
   * @returns whether it was this call that ended it
   */
  async revoke(tx: EntityManager, sessionId: string, reason: RevocationReason): Promise<boolean> {
    const matched = await execute(
      tx,
      'UPDATE sessions SET revoked_at = ?, revocation_reason = ? WHERE id = ? AND revoked_at IS NULL',
      [this.clock.now(), reason, sessionId],
    );
    // Read after the update, whose lock keeps a racing refresh from moving the end of its access tokens. Told also when
    // somebody else was first: that may have been another instance, whose line has not been read here yet.
    const session = await findOne(tx, Session, 'id', sessionId);
    if (session) await this.announce(tx, [session]);
    return matched === 1;
  }

  /**
   * Ends all sessions of an account inside `tx`, which must hold the account's lock, but for the one spared.
   *
   * @returns how many this call has ended
   */
  async revokeAll(
    tx: EntityManager,
    userId: string,
    reason: RevocationReason,
    sparedId: string | null = null,
  ): Promise<number> {
    const now = this.clock.now();
    const matched = await endStanding(tx, userId, { now, reason, sparedId });
    await this.announce(tx, await tx.findBy(Session, { userId, revokedAt: now }));
    return matched;
  }

  /**
   * The same for an operator, who may be repeating what was answered 503, and tells of all that have ended before as well.
   *
   * @returns how many this call has ended
   */
  async revokeAllForOperator(tx: EntityManager, userId: string, reason: RevocationReason): Promise<number> {
    const matched = await endStanding(tx, userId, { now: this.clock.now(), reason, sparedId: null });
    await this.announceEnded(tx, userId);
    return matched;
  }

  /**
   * Tells all instances anew, inside `tx`, of every session of an account that has ended and of which an access token may still be
   * valid: a commit that a stall has held up comes too late for instances that have read past its lines, and its caller was
   * answered 503. For operators only. There may be as many as there can be sign-ins, and whoever holds a session could have them
   * written again and again.
   */
  async announceEnded(tx: EntityManager, userId: string): Promise<void> {
    await this.announce(tx, await readEnded(tx, userId, this.announcer.toldAfter));
  }

  /**
   * Whether the session stands, by the database. For an instance that cannot rely on its memory.
   *
   * @throws ApiError `service_unavailable`
   */
  async isLive(sessionId: string): Promise<boolean> {
    const session = await this.transactions.read((tx) => findOne(tx, Session, 'id', sessionId));
    return session !== null && session.revokedAt === null;
  }

  private async makeRoom(tx: EntityManager, userId: string, now: Date, origin: Origin): Promise<void> {
    // SQLite has no OFFSET without a LIMIT; there is never more than one too many, since each login comes through here.
    const surplus = await select<{ id: string }>(
      tx,
      `SELECT id FROM sessions WHERE user_id = ? AND revoked_at IS NULL AND idle_ends_at > ?
       ORDER BY COALESCE(rotated_at, created_at) DESC, id DESC
       LIMIT ? OFFSET ?`,
      [userId, now, SESSIONS_PER_ACCOUNT, SESSIONS_PER_ACCOUNT - 1],
    );
    for (const { id: sessionId } of surplus) {
      const reason = 'session_limit';
      const ended = await this.revoke(tx, sessionId, reason);
      if (ended) await this.audit.record(tx, { type: 'session_ended', userId, sessionId, reason }, origin);
    }
  }

  private announce(tx: EntityManager, sessions: EndOfAccess[]): Promise<void> {
    return this.announcer.announce(
      tx,
      'session',
      sessions.map(({ id, accessEndsAt }) => ({ id, expiresAt: accessEndsAt })),
    );
  }
}

/** @returns how many there were */
function endStanding(
  tx: EntityManager,
  userId: string,
  { now, reason, sparedId }: { now: Date; reason: RevocationReason; sparedId: string | null },
): Promise<number> {
  return execute(
    tx,
    "UPDATE sessions SET revoked_at = ?, revocation_reason = ? WHERE user_id = ? AND revoked_at IS NULL AND id <> COALESCE(?, '')",
    [now, reason, userId, sparedId],
  );
}

/** An account that signs in all day has thousands of them, and an access token of few may still be valid. */
async function readEnded(tx: EntityManager, userId: string, endingAfter: Date): Promise<EndOfAccess[]> {
  const rows = await select<{ id: string; accessEndsAt: Date | string }>(
    tx,
    `SELECT id, access_ends_at AS accessEndsAt FROM sessions
     WHERE user_id = ? AND revoked_at IS NOT NULL AND access_ends_at > ?`,
    [userId, endingAfter],
  );
  return rows.map(({ id, accessEndsAt }) => ({ id, accessEndsAt: toInstant(accessEndsAt) }));
}
