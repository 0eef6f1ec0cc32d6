import { Injectable } from '@nestjs/common';
import { IsNull, MoreThan, Not } from 'typeorm';
import { lockForCaller } from '../access/account-lock';
import type { Principal } from '../access/principal';
import { AuditTrail } from '../audit/audit-trail';
import { Clock } from '../core/clock';
import { ApiError } from '../core/errors';
import type { Origin } from '../core/origin';
import { Transactions } from '../database/transactions';
import { Session } from './session.entity';
import { SessionsService } from './sessions.service';

/** What a signed-in user sees of the sessions of his account, and how he ends them. */
@Injectable()
export class OwnSessionsService {
  constructor(
    private readonly transactions: Transactions,
    private readonly sessions: SessionsService,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
  ) {}

  /**
   * The account's sessions that stand, the last used first. Opens its own read.
   *
   * @throws ApiError `service_unavailable`
   */
  async list(userId: string): Promise<Session[]> {
    const now = this.clock.now();
    const standing = await this.transactions.readFor(userId, (tx) =>
      tx.findBy(Session, { userId, revokedAt: IsNull(), idleEndsAt: MoreThan(now) }),
    );
    return standing.sort((a, b) => lastUse(b).getTime() - lastUse(a).getTime() || (a.id < b.id ? 1 : -1));
  }

  /**
   * Ends one session of the caller's account, which may be the caller's own. Opens a read before its transaction: whoever asks for
   * sessions that are not there, as often as he likes, must not stand in the line of the account, in which others of it sign in.
   *
   * @throws ApiError `session_not_found` also for one of somebody else, for one that has ended, and for any other text;
   *   `token_revoked`, `service_unavailable`
   */
  async end(principal: Principal, sessionId: string, origin: Origin): Promise<void> {
    const { userId } = principal;
    const standing = { id: sessionId, userId, revokedAt: IsNull(), idleEndsAt: MoreThan(this.clock.now()) };
    const session = await this.transactions.read((tx) => tx.findOneBy(Session, standing));
    if (!session) throw new ApiError('session_not_found');
    const wasFirst = await this.transactions.runFor(userId, async (tx) => {
      await lockForCaller(tx, principal);
      const ended = await this.sessions.revoke(tx, session.id, 'ended_by_owner');
      if (ended) await this.audit.record(tx, { type: 'session_ended', userId, sessionId }, origin);
      return ended;
    });
    // Only now: that it has ended has been told all the same.
    if (!wasFirst) throw new ApiError('session_not_found');
  }

  /**
   * Ends all sessions of the caller's account, or all but the caller's own. One event tells of all of them, and none of none. Opens a
   * read before its transaction, for the same reason.
   *
   * @throws ApiError `token_revoked`, `service_unavailable`
   */
  async endAll(principal: Principal, keepOwn: boolean, origin: Origin): Promise<void> {
    const { userId, credentialId: sessionId } = principal;
    const spared = keepOwn ? sessionId : null;
    const standing = { userId, revokedAt: IsNull(), ...(spared !== null && { id: Not(spared) }) };
    if (!(await this.transactions.read((tx) => tx.findOneBy(Session, standing)))) return;
    await this.transactions.runFor(userId, async (tx) => {
      await lockForCaller(tx, principal);
      if ((await this.sessions.revokeAll(tx, userId, 'ended_by_owner', spared)) === 0) return;
      await this.audit.record(tx, { type: 'sessions_ended', userId, sessionId }, origin);
    });
  }
}

/** When somebody last signed in, refreshed or called with this session. */
export function lastUse({ createdAt, rotatedAt, lastUsedAt }: Session): Date {
  const uses = [createdAt, rotatedAt ?? createdAt, lastUsedAt ?? createdAt];
  return new Date(Math.max(...uses.map((use) => use.getTime())));
}
