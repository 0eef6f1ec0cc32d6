import { Injectable } from '@nestjs/common';
import { LessThan } from 'typeorm';
import { Transactions } from '../database/transactions';
import { AuditEventRow } from './audit-event.entity';

/** Some of an account's events, and where to go on. */
export interface EventPage {
  events: AuditEventRow[];
  /** The id behind which the next page begins; undefined on the last one. */
  next: string | undefined;
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
  async page(userId: string, before: string | undefined, most: number): Promise<EventPage> {
    const found = await this.transactions.read((tx) =>
      tx.find(AuditEventRow, {
        where: { userId, ...(before !== undefined && { id: LessThan(before) }) },
        order: { id: 'DESC' },
        take: most + 1,
      }),
    );
    const events = found.slice(0, most);
    return { events, next: found.length > most ? events.at(-1)?.id : undefined };
  }
}
