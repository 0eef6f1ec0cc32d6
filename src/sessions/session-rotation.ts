import { Injectable } from '@nestjs/common';
import { AuditTrail } from '../audit/audit-trail';
import { Clock } from '../core/clock';
import { Failpoints } from '../core/failpoints';
import { Metrics } from '../core/metrics';
import type { Origin } from '../core/origin';
import type { RefreshToken } from '../crypto/refresh-token-format';
import { sha256Hex } from '../crypto/sha256';
import { execute } from '../database/sql';
import { Transactions } from '../database/transactions';
import { RateLimits } from '../rate-limit/rate-limits';
import { type HeldSession, readHeldSession, type SessionHolder } from './held-session';
import { isAbandoned, type RefreshCall } from './refresh-call';
import { judgeRefresh, type PresentedRefresh } from './refresh-verdict';
import { type SessionGrant, SessionGrants } from './session-grants';
import { SessionLifetimes } from './session-lifetimes';
import { SessionsService } from './sessions.service';

/** Never lowers it: another call may have handed out a token that lives longer. Takes the instant twice. */
const RAISE_ACCESS_END = 'access_ends_at = CASE WHEN access_ends_at < ? THEN ? ELSE access_ends_at END';

/** How a refresh ended. A value, so that what it wrote commits also when the caller is refused. */
export type RefreshOutcome =
  /** To the holder as he stood when the token was judged: what he may do cannot shrink without the session ending. */
  | { kind: 'granted'; grant: SessionGrant; holder: SessionHolder }
  | { kind: 'refused' }
  /** The session has been ended. */
  | { kind: 'reused' };

/** Keeps a session going: each refresh token is good for one rotation, and what comes back later is theft. */
@Injectable()
export class SessionRotation {
  constructor(
    private readonly transactions: Transactions,
    private readonly sessions: SessionsService,
    private readonly lifetimes: SessionLifetimes,
    private readonly grants: SessionGrants,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
    private readonly failpoints: Failpoints,
    private readonly limits: RateLimits,
    private readonly metrics: Metrics,
  ) {
    metrics.count('latchkey_refresh_token_reuse_total', {}, 0);
  }

  /**
   * Exchanges a refresh token for its successor (RFC 9700 section 4.14.2). A forged token is refused without I/O. Racing calls with
   * one token all get the same successor. A token that was replaced earlier ends the session, unless its caller has hung up.
   *
   * @throws ApiError `rate_limited`, and `service_unavailable` when the database is in trouble; the presented token stays valid
   */
  async rotate(call: RefreshCall): Promise<RefreshOutcome> {
    const presentedAt = this.clock.now();
    const { refreshToken, idempotencyKey, origin } = call;
    const token = this.grants.readToken(refreshToken);
    if (!token) return { kind: 'refused' };
    await this.limits.take('refresh-session', token.sessionId, { userId: null, origin });
    const presented: PresentedRefresh = {
      token,
      idempotencyHash: idempotencyKey === undefined ? null : sha256Hex(idempotencyKey),
      presentedAt,
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
      const accessEndsAt = this.lifetimes.latestAccessTokenExpiry(now, idleEndsAt);
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
    return this.grants.of({ ...session, idleEndsAt }, { ...token, generation }, now);
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
    const accessTokenExpiry = this.lifetimes.accessTokenExpiry(now, session.idleEndsAt);
    if (accessTokenExpiry > session.accessEndsAt) {
      const matched = await this.transactions.statement((tx) =>
        execute(
          tx,
          `UPDATE sessions SET ${RAISE_ACCESS_END} WHERE id = ? AND generation = ? AND revoked_at IS NULL`,
          [accessTokenExpiry, accessTokenExpiry, session.id, session.generation],
        ),
      );
      if (matched === 0) return undefined;
    }
    return this.grants.of(session, { ...token, generation: session.generation }, now);
  }

  private async endReused({ userId, id: sessionId }: HeldSession, origin: Origin): Promise<void> {
    const wasFirst = await this.transactions.runFor(userId, async (tx) => {
      const ended = await this.sessions.revoke(tx, sessionId, 'refresh_token_reused');
      await this.failpoints.reach('reuse:session_revoked');
      if (!ended) return false;
      await this.audit.record(tx, { type: 'refresh_token_reused', userId, sessionId }, origin);
      return true;
    });
    if (wasFirst) this.metrics.count('latchkey_refresh_token_reuse_total', {});
    await this.failpoints.reach('reuse:committed');
  }
}
