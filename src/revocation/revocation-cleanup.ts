import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../core/clock';
import { Failpoints } from '../core/failpoints';
import { LOG, type Log } from '../core/log';
import { RowCleanup } from '../database/row-cleanup';
import { Transactions } from '../database/transactions';

/** Removes lines of the feed that concern nothing valid any more. */
@Injectable()
export class RevocationCleanup extends RowCleanup {
  constructor(transactions: Transactions, clock: Clock, failpoints: Failpoints, @Inject(LOG) log: Log) {
    super(transactions, clock, failpoints, log, {
      table: 'revocation_entries',
      key: 'position',
      endedBy: ['expires_at'],
    });
  }
}
