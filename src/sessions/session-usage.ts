import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../core/clock';
import { LOG, type Log } from '../core/log';
import { LastUses } from '../database/last-uses';
import { Transactions } from '../database/transactions';

/** When the access tokens of sessions were last used, by the session's id. */
@Injectable()
export class SessionUsage extends LastUses {
  constructor(transactions: Transactions, clock: Clock, @Inject(LOG) log: Log) {
    super(transactions, clock, log, { table: 'sessions', key: 'id' });
  }
}
