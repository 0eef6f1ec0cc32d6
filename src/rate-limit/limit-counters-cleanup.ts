import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../core/clock';
import { Failpoints } from '../core/failpoints';
import { LOG, type Log } from '../core/log';
import { RowCleanup } from '../database/row-cleanup';
import { Transactions } from '../database/transactions';

/** Less than the usual day, since an attacker can cause fifty rows a second; still far more than clocks may differ. */
const KEPT_FOR_SECONDS = 3600;

/** Removes counters whose window is over. */
@Injectable()
export class LimitCountersCleanup extends RowCleanup {
  constructor(transactions: Transactions, clock: Clock, failpoints: Failpoints, @Inject(LOG) log: Log) {
    super(transactions, clock, failpoints, log, {
      table: 'limit_counters',
      key: 'id',
      endedBy: ['ends_at'],
      keptForSeconds: KEPT_FOR_SECONDS,
    });
  }
}
