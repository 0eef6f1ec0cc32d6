import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { takeAccount } from '../access/account-lock';
import { AuditTrail } from '../audit/audit-trail';
import { Clock } from '../core/clock';
import { ApiError } from '../core/errors';
import type { Origin } from '../core/origin';
import { isReadOnly } from '../database/failures';
import { paced } from '../database/paced';
import { inPages } from '../database/pages';
import { select, toInstant } from '../database/sql';
import { Transactions } from '../database/transactions';
import { RevocationAnnouncer } from '../revocation/revocation-announcer';
import { Session } from './session.entity';
import { SessionsService } from './sessions.service';

/** Accounts whose sessions are ended in one transaction, so that nobody waits long behind it. */
const ACCOUNTS_PER_BATCH = 20;

/**
 * Milliseconds after which a transaction takes no further account: some have thousands of sessions whose end is to be told, and
 * twenty of these would take longer than a transaction may.
 */
const LONG_BATCH_MS = 1_000;

/** Accounts that fail one after the other before it is given up: then it is not they. */
const MOST_FAILED_IN_A_ROW = 100;

/** Accounts that are looked at in one statement. */
const ACCOUNTS_PER_PAGE = 500;

/** Which sessions are asked for; absent fields do not filter. */
export interface SessionFilter {
  userId?: string;
  /** Signed in then or later. */
  since?: Date;
}

/** A session that stands, and whose it is. */
export interface SessionOfUser {
  id: string;
  userId: string;
  username: string;
  createdAt: Date;
  /** The last sign-in, refresh or call. */
  lastUsedAt: Date;
  idleEndsAt: Date;
  ip: string;
  userAgent: string | null;
}

type StoredInstant = Date | string;

interface Row {
  id: string;
  userId: string;
  username: string;
  createdAt: StoredInstant;
  rotatedAt: StoredInstant | null;
  lastUsedAt: StoredInstant | null;
  idleEndsAt: StoredInstant;
  revokedAt: StoredInstant | null;
  ip: string;
  userAgent: string | null;
}

/** What was ended. */
export interface Ended {
  accounts: number;
  sessions: number;
}

/** What was ended of everybody's, or whose sessions could not be. */
export interface EndedOrFailed extends Ended {
  failed?: { userId: string; error: ApiError };
}

/** Everybody's sessions, for an operator. */
@Injectable()
export class OperatorSessions {
  constructor(
    private readonly transactions: Transactions,
    private readonly sessions: SessionsService,
    private readonly announcer: RevocationAnnouncer,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
  ) {}

  /**
   * The sessions that stand, in the order of the sign-ins, however many.
   *
   * @param onProgress told with each page how many have been looked at, those that are left out among them
   * @throws ApiError `service_unavailable`
   */
  async *list(
    { userId, since }: SessionFilter,
    onProgress?: (rows: number) => void,
  ): AsyncGenerator<SessionOfUser> {
    const rows = inPages(
      this.transactions,
      (tx, afterId, limit) => readRows(tx, userId, afterId, limit),
      onProgress,
    );
    for await (const row of rows) {
      const session = toSession(row);
      if (row.revokedAt !== null || session.idleEndsAt <= this.clock.now()) continue;
      if (since && session.createdAt < since) continue;
      yield session;
    }
  }

  /**
   * Ends a session.
   *
   * @returns whether it was this call that ended it; undefined where there is no such session
   * @throws ApiError `service_unavailable`
   */
  async end(sessionId: string, origin: Origin): Promise<boolean | undefined> {
    return this.transactions.run(async (tx) => {
      const session = await tx.findOneBy(Session, { id: sessionId });
      if (!session) return undefined;
      const { userId } = session;
      // Behind the account's lock, like whoever else ends a session.
      await takeAccount(tx, userId);
      if (!(await this.sessions.revoke(tx, sessionId, 'ended_by_operator'))) return false;
      const reason = 'by_operator';
      await this.audit.record(tx, { type: 'session_ended', userId, sessionId, reason }, origin);
      return true;
    });
  }

  /**
   * Ends all sessions of an account. Repeated, it tells all instances again of those that have ended.
   *
   * @throws ApiError `service_unavailable`
   */
  async endAllOf(userId: string, origin: Origin): Promise<Ended> {
    const { ended } = await this.transactions.run((tx) => this.endOf(tx, [userId], origin));
    return ended;
  }

  /**
   * Ends every session of everybody that was opened before the call, some accounts at a time, and tells after each batch what
   * it has ended. Cut short, it has ended what it told of; called again it goes on, and tells all instances again of what has ended.
   * Pauses after each batch for as long as it took.
   * An account whose sessions cannot be ended is told of, and keeps nobody behind it from being reached.
   *
   * @throws ApiError `service_unavailable`, also where a hundred accounts in a row have failed, the last of which has been told of
   */
  async *endAll(origin: Origin): AsyncGenerator<EndedOrFailed> {
    let failedInARow = 0;
    for (let afterId = ''; ;) {
      const owners = await this.transactions.read((tx) => readOwners(tx, afterId));
      const last = owners.at(-1);
      if (last === undefined) return;
      for (let begin = 0; begin < owners.length; begin += ACCOUNTS_PER_BATCH) {
        const concerned = await this.concernedAmong(owners.slice(begin, begin + ACCOUNTS_PER_BATCH));
        for await (const ended of this.endBatch(concerned, origin)) {
          yield ended;
          failedInARow = ended.failed ? failedInARow + 1 : 0;
          if (ended.failed && failedInARow === MOST_FAILED_IN_A_ROW) throw ended.failed.error;
        }
      }
      afterId = last;
    }
  }

  /** All in one transaction, if it does not take long; one by one, where that fails. */
  private async *endBatch(userIds: string[], origin: Origin): AsyncGenerator<EndedOrFailed> {
    let atOnce = userIds.length;
    for (let rest = userIds; rest.length > 0;) {
      const batch = rest.slice(0, atOnce);
      const outcome = await this.tryToEnd(batch, origin);
      if ('ended' in outcome) {
        yield outcome.ended;
        rest = rest.slice(outcome.reached);
        continue;
      }
      atOnce = 1;
      if (batch.length > 1) continue;
      yield { accounts: 0, sessions: 0, failed: outcome.failed };
      rest = rest.slice(1);
    }
  }

  /** @throws ApiError where the trouble is the database's, and not of one of these accounts */
  private async tryToEnd(userIds: string[], origin: Origin) {
    try {
      return await paced(this.clock, () => this.transactions.run((tx) => this.endOf(tx, userIds, origin)));
    } catch (error) {
      if (!(error instanceof ApiError) || isReadOnly(error.cause)) throw error;
      await this.concernedAmong(userIds);
      return { failed: { userId: userIds[0] as string, error } };
    }
  }

  /** Who of them has a session that stands, or one that has ended before its last access token does. */
  private concernedAmong(owners: string[]): Promise<string[]> {
    return this.transactions.read((tx) => readConcerned(tx, owners, this.announcer.toldAfter));
  }

  /**
   * One event tells of all sessions of an account.
   *
   * @returns also how many of the accounts have been reached, at least the first
   */
  private async endOf(
    tx: EntityManager,
    userIds: string[],
    origin: Origin,
  ): Promise<{ ended: Ended; reached: number }> {
    const begun = this.clock.monotonic();
    const ended: Ended = { accounts: 0, sessions: 0 };
    let reached = 0;
    for (const userId of userIds) {
      if (reached > 0 && this.clock.monotonic() - begun > LONG_BATCH_MS) break;
      reached += 1;
      await takeAccount(tx, userId);
      const count = await this.sessions.revokeAllForOperator(tx, userId, 'ended_by_operator');
      if (count === 0) continue;
      ended.accounts += 1;
      ended.sessions += count;
      await this.audit.record(tx, { type: 'sessions_ended', userId, reason: 'by_operator' }, origin);
    }
    return { ended, reached };
  }
}

/**
 * Who has sessions, whether they stand or not: no statement runs long in search of the few that do, as where most have been ended
 * already by a call that was cut short.
 */
async function readOwners(tx: EntityManager, afterId: string): Promise<string[]> {
  const rows = await select<{ userId: string }>(
    tx,
    `SELECT DISTINCT user_id AS userId FROM sessions WHERE user_id > ? ORDER BY user_id LIMIT ${ACCOUNTS_PER_PAGE}`,
    [afterId],
  );
  return rows.map(({ userId }) => userId);
}

async function readConcerned(tx: EntityManager, owners: string[], endingAfter: Date): Promise<string[]> {
  const rows = await select<{ userId: string }>(
    tx,
    `SELECT DISTINCT user_id AS userId FROM sessions
     WHERE user_id IN (${owners.map(() => '?').join(', ')}) AND (revoked_at IS NULL OR access_ends_at > ?)
     ORDER BY user_id`,
    [...owners, endingAfter],
  );
  return rows.map(({ userId }) => userId);
}

function readRows(
  tx: EntityManager,
  userId: string | undefined,
  afterId: string,
  limit: number,
): Promise<Row[]> {
  return select<Row>(
    tx,
    `SELECT s.id AS id, s.user_id AS userId, u.username AS username, s.created_at AS createdAt,
       s.rotated_at AS rotatedAt, s.last_used_at AS lastUsedAt, s.idle_ends_at AS idleEndsAt,
       s.revoked_at AS revokedAt, s.ip AS ip, s.user_agent AS userAgent
     FROM sessions s JOIN users u ON u.id = s.user_id
     WHERE s.id > ? ${userId === undefined ? '' : 'AND s.user_id = ?'} ORDER BY s.id LIMIT ?`,
    [afterId, ...(userId === undefined ? [] : [userId]), limit],
  );
}

function toSession({ rotatedAt, revokedAt: _, ...row }: Row): SessionOfUser {
  const uses = [row.createdAt, rotatedAt, row.lastUsedAt].flatMap((use) =>
    use === null ? [] : [toInstant(use).getTime()],
  );
  return {
    ...row,
    createdAt: toInstant(row.createdAt),
    lastUsedAt: new Date(Math.max(...uses)),
    idleEndsAt: toInstant(row.idleEndsAt),
  };
}
