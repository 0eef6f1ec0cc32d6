import { Injectable } from '@nestjs/common';
import { type EntityManager, LessThan } from 'typeorm';
import { select } from '../database/sql';
import { Transactions } from '../database/transactions';
import { AuditEventRow } from './audit-event.entity';

/** Some of an account's events, and where to go on. */
export interface EventPage {
  events: AuditEventRow[];
  /** The id behind which the next page begins; undefined on the last one. */
  next: string | undefined;
}

/** Which of these accounts came to be by an import, as far as the trail still tells, each with the last one's request id. */
export async function importedAmong(tx: EntityManager, userIds: string[]): Promise<Map<string, string>> {
  if (userIds.length === 0) return new Map();
  const rows = await select<{ userId: string; requestId: string }>(
    tx,
    `SELECT user_id AS userId, request_id AS requestId FROM audit_events
     WHERE user_id IN (${userIds.map(() => '?').join(', ')}) AND type = 'account_created' AND reason = 'imported'
     ORDER BY id`,
    userIds,
  );
  return new Map(rows.map(({ userId, requestId }) => [userId, requestId]));
}

/** Which of these accounts have been deleted, as far as the trail still tells. */
export async function deletionsAmong(tx: EntityManager, userIds: string[]): Promise<Set<string>> {
  if (userIds.length === 0) return new Set();
  const rows = await select<{ userId: string }>(
    tx,
    `SELECT DISTINCT user_id AS userId FROM audit_events
     WHERE user_id IN (${userIds.map(() => '?').join(', ')}) AND type = 'account_deleted'`,
    userIds,
  );
  return new Set(rows.map(({ userId }) => userId));
}

/** What an account's owner may see of the trail. */
@Injectable()
export class EventHistory {
  constructor(private readonly transactions: Transactions) {}

  /**
   * The account's events, newest first. Opens its own read.
   *
   * @param before only those older than the event of this id
   * @throws ApiError `service_unavailable`
   */
  async page(userId: string, before: string | undefined, limit: number): Promise<EventPage> {
    const found = await this.transactions.readFor(userId, (tx) =>
      tx.find(AuditEventRow, {
        where: { userId, ...(before !== undefined && { id: LessThan(before) }) },
        order: { id: 'DESC' },
        take: limit + 1,
      }),
    );
    const events = found.slice(0, limit);
    return { events, next: found.length > limit ? events.at(-1)?.id : undefined };
  }
}
