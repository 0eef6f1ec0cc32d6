import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { AuditTrail } from '../audit/audit-trail';
import { Clock } from '../core/clock';
import { Failpoints } from '../core/failpoints';
import { Ids } from '../core/ids';
import { Metrics } from '../core/metrics';
import type { Origin } from '../core/origin';
import { Random } from '../core/random';
import { KeyRing } from '../crypto/key-ring';
import { NONCE_BYTES, type RefreshToken, RefreshTokenFormat } from '../crypto/refresh-token-format';
import { sha256Hex } from '../crypto/sha256';
import { findOne, insertOne } from '../database/rows';
import { execute, select, toInstant } from '../database/sql';
import { Transactions } from '../database/transactions';
import { RevocationFeed } from '../revocation/revocation-feed';
import { RateLimits } from '../rate-limit/rate-limits';
import { type HeldSession, readHeldSession, type SessionHolder } from './held-session';
import { isAbandoned, type RefreshCall } from './refresh-call';
import { judgeRefresh, type PresentedRefresh } from './refresh-verdict';
import { SessionLifetimes } from './session-lifetimes';
import { type RevocationReason, Session } from './session.entity';

/** Sessions an account may have at once. One more, and the longest idle one gives way. */
export const SESSIONS_PER_ACCOUNT = 100;

/** Never lowers it: another call may have handed out a token that lives longer. Takes the instant twice. */
const RAISE_ACCESS_END = 'access_ends_at = CASE WHEN access_ends_at < ? THEN ? ELSE access_ends_at END';

/** What a client is handed when it signs in or refreshes. */
export interface SessionGrant {
  sessionId: string;
  userId: string;
  /** When the password was shown. */
  authenticatedAt: Date;
  refreshToken: string;
  /** Now: what the lifetimes are counted from. */
  issuedAt: Date;
  /** When the access token to be issued expires. */
  accessTokenEnd: Date;
  /** When the session ends if it is not refreshed. */
  idleEnd: Date;
}

/** Until when access tokens of a session may be valid. */
type EndOfAccess = Pick<Session, 'id' | 'accessEndsAt'>;

/** How a refresh ended. A value, so that what it wrote commits also when the caller is refused. */
export type RefreshOutcome =
  /** To the holder as he stood when the token was judged: what he may do cannot shrink without the session ending. */
  | { kind: 'granted'; grant: SessionGrant; holder: SessionHolder }
  | { kind: 'refused' }
  /** The session has been ended. */
  | { kind: 'reused' };

/** Opens, rotates and ends sessions. */
@Injectable()
export class SessionsService {
  private readonly format: RefreshTokenFormat;

  constructor(
    private readonly transactions: Transactions,
    private readonly lifetimes: SessionLifetimes,
    private readonly feed: RevocationFeed,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly ids: Ids,
    private readonly failpoints: Failpoints,
    private readonly limits: RateLimits,
    private readonly metrics: Metrics,
    keys: KeyRing,
  ) {
    this.format = new RefreshTokenFormat(keys.refreshToken);
    metrics.count('latchkey_refresh_token_reuse_total', {}, 0);
  }

  /**
   * Opens a session inside `tx`, which must hold the account's lock: that makes the count of sessions hold, and keeps a
   * login from outrunning a revocation.
   */
  async open(tx: EntityManager, userId: string, origin: Origin): Promise<SessionGrant> {
    const now = this.clock.now();
    const nonce = this.random.bytes(NONCE_BYTES);
    const endsAt = this.lifetimes.end(now);
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
      accessEndsAt: this.lifetimes.accessEnd(now, idleEndsAt),
      revokedAt: null,
      revocationReason: null,
      ip: origin.ip,
      userAgent: origin.userAgent,
    };
    await this.makeRoom(tx, userId, now, origin);
    await insertOne(tx, Session, session);
    return this.grant(session, { sessionId: session.id, generation: 0, nonce }, now);
  }

  /**
   * Exchanges a refresh token for its successor (RFC 9700 section 4.14.2). A forged token is refused without I/O; of many
   * calls with one token all get the same successor; a token replaced earlier ends the session, whatever the answer, but for a
   * caller who has hung up.
   *
   * @throws ApiError `rate_limited`, and `service_unavailable` when the database is in trouble; the token presented is as
   * good as before
   */
  async rotate(call: RefreshCall): Promise<RefreshOutcome> {
    const { refreshToken, idempotencyKey, origin } = call;
    const token = this.format.decode(refreshToken);
    if (!token) return { kind: 'refused' };
    await this.limits.take('refresh-session', token.sessionId, { userId: null, origin });
    const presented: PresentedRefresh = {
      token,
      idempotencyHash: idempotencyKey === undefined ? null : sha256Hex(idempotencyKey),
    };
    // Whoever finds the row changed under him reads again. Every round means that the session went forward, away from
    // this token, so there are at most three.
    for (;;) {
      const session = await this.transactions.read((tx) => readHeldSession(tx, token.sessionId));
      await this.failpoints.reach('rotate:row_read');
      const now = this.clock.now();
      const verdict = judgeRefresh(session, presented, this.lifetimes, now);
      if (!session || verdict === 'refused') return { kind: 'refused' };
      if (verdict === 'reused') {
        if (await isAbandoned(call)) return { kind: 'refused' };
        await this.endReused(session, origin);
        return { kind: 'reused' };
      }
      const grant = await (verdict === 'advance'
        ? this.advance(session, presented, origin)
        : this.repeat(session, token, now));
      if (grant) return { kind: 'granted', grant, holder: session.holder };
    }
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
    await this.announce(tx, await readEnded(tx, userId, this.feed.toldAfter));
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

  /** Replaces the live token. Undefined when somebody else was faster. */
  private async advance(
    session: HeldSession,
    { token, idempotencyHash }: PresentedRefresh,
    origin: Origin,
  ): Promise<SessionGrant | undefined> {
    const generation = token.generation + 1;
    const { matched, now, idleEndsAt } = await this.transactions.statement(async (tx) => {
      // After the wait for a connection, which would take its part of the grace away.
      const now = this.clock.now();
      const idleEndsAt = this.lifetimes.idleEnd(now, session.endsAt);
      const accessEndsAt = this.lifetimes.accessEnd(now, idleEndsAt);
      const matched = await execute(
        tx,
        `UPDATE sessions SET generation = ?, rotated_at = ?, idempotency_hash = ?, idle_ends_at = ?, ip = ?, user_agent = ?,
           ${RAISE_ACCESS_END}
         WHERE id = ? AND generation = ? AND revoked_at IS NULL`,
        [
          ...[generation, now, idempotencyHash, idleEndsAt, origin.ip, origin.userAgent],
          ...[accessEndsAt, accessEndsAt, session.id, token.generation],
        ],
      );
      return { matched, now, idleEndsAt };
    });
    if (matched === 0) return undefined;
    await this.failpoints.reach('rotate:committed');
    return this.grant({ ...session, idleEndsAt }, { ...token, generation }, now);
  }

  /**
   * The answer of the rotation that this call repeats. Writes only where the access token it hands out outlives every
   * one before it, since a revocation is remembered until `accessEndsAt`. Undefined when the session has moved on.
   */
  private async repeat(
    session: HeldSession,
    token: RefreshToken,
    now: Date,
  ): Promise<SessionGrant | undefined> {
    const accessTokenEnd = this.lifetimes.accessTokenEnd(now, session.idleEndsAt);
    if (accessTokenEnd > session.accessEndsAt) {
      const matched = await this.transactions.statement((tx) =>
        execute(
          tx,
          `UPDATE sessions SET ${RAISE_ACCESS_END} WHERE id = ? AND generation = ? AND revoked_at IS NULL`,
          [accessTokenEnd, accessTokenEnd, session.id, session.generation],
        ),
      );
      if (matched === 0) return undefined;
    }
    return this.grant(session, { ...token, generation: session.generation }, now);
  }

  private async endReused({ userId, id: sessionId }: HeldSession, origin: Origin): Promise<void> {
    const wasFirst = await this.transactions.runFor(userId, async (tx) => {
      const ended = await this.revoke(tx, sessionId, 'refresh_token_reused');
      await this.failpoints.reach('reuse:session_revoked');
      if (!ended) return false;
      await this.audit.record(tx, { type: 'refresh_token_reused', userId, sessionId }, origin);
      return true;
    });
    if (wasFirst) this.metrics.count('latchkey_refresh_token_reuse_total', {});
    await this.failpoints.reach('reuse:committed');
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
    return this.feed.announce(
      tx,
      'session',
      sessions.map(({ id, accessEndsAt }) => ({ id, expiresAt: accessEndsAt })),
    );
  }

  private grant(
    session: Pick<Session, 'id' | 'userId' | 'createdAt' | 'idleEndsAt'>,
    token: RefreshToken,
    now: Date,
  ): SessionGrant {
    return {
      sessionId: session.id,
      userId: session.userId,
      authenticatedAt: session.createdAt,
      refreshToken: this.format.encode(token),
      issuedAt: now,
      accessTokenEnd: this.lifetimes.accessTokenEnd(now, session.idleEndsAt),
      idleEnd: session.idleEndsAt,
    };
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
