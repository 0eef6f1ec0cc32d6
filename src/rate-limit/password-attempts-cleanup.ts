import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../core/clock';
import { Failpoints } from '../core/failpoints';
import { LOG, type Log } from '../core/log';
import { RowCleanup } from '../database/row-cleanup';
import { Transactions } from '../database/transactions';

/**
 * Seconds that a row is kept after its end. Still far more than two clocks may differ by; whoever makes room for another in the
 * hashing queue leaves a row as well.
 */
export const ATTEMPTS_KEPT_FOR_SECONDS = 3600;

/** Removes what is remembered of attempts that count no more. */
@Injectable()
export class PasswordAttemptsCleanup extends RowCleanup {
  constructor(transactions: Transactions, clock: Clock, failpoints: Failpoints, @Inject(LOG) log: Log) {
    super(transactions, clock, failpoints, log, {
      table: 'password_attempts',
      key: 'id',
      endedBy: ['ends_at'],
      keptForSeconds: ATTEMPTS_KEPT_FOR_SECONDS,
    });
  }
}
