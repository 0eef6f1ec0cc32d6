import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../core/clock';
import { Failpoints } from '../core/failpoints';
import { LOG, type Log } from '../core/log';
import { RowCleanup } from '../database/row-cleanup';
import { Transactions } from '../database/transactions';

/** Removes sessions that have ended: by themselves, or because somebody ended them. */
@Injectable()
export class SessionCleanup extends RowCleanup {
  constructor(transactions: Transactions, clock: Clock, failpoints: Failpoints, @Inject(LOG) log: Log) {
    super(transactions, clock, failpoints, log, {
      table: 'sessions',
      key: 'id',
      endedBy: ['idle_ends_at', 'revoked_at'],
    });
  }
}
