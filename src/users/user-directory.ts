import { Injectable } from '@nestjs/common';
import { MoreThan } from 'typeorm';
import { inPages } from '../database/pages';
import { Transactions } from '../database/transactions';
import { User } from './user.entity';

/** Which accounts are asked for; absent fields do not filter. */
export interface UserFilter {
  disabled?: boolean;
  /** Made then or later. */
  since?: Date;
}

/** All accounts there are, for an operator. */
@Injectable()
export class UserDirectory {
  constructor(private readonly transactions: Transactions) {}

  /**
   * The accounts in the order of their ids, however many. Filtered here and not by the engine, so that no statement runs long
   * in search of the few that fit.
   *
   * @param onProgress told with each page how many have been looked at, those that are left out among them
   * @throws ApiError `service_unavailable`
   */
  async *list({ disabled, since }: UserFilter, onProgress?: (rows: number) => void): AsyncGenerator<User> {
    const users = inPages(
      this.transactions,
      (tx, afterId, limit) =>
        tx.find(User, { where: { id: MoreThan(afterId) }, order: { id: 'ASC' }, take: limit }),
      onProgress,
    );
    for await (const user of users) {
      if (disabled !== undefined && disabled !== (user.disabledAt !== null)) continue;
      if (since && user.createdAt < since) continue;
      yield user;
    }
  }
}
