import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../core/clock';
import { LOG, type Log } from '../core/log';
import { LastUses } from '../database/last-uses';
import { Transactions } from '../database/transactions';

/** When API keys were last used, by their id: a key outlives its secrets. */
@Injectable()
export class KeyUsage extends LastUses {
  constructor(transactions: Transactions, clock: Clock, @Inject(LOG) log: Log) {
    super(transactions, clock, log, { table: 'api_keys', key: 'id' });
  }
}

/** When the secrets of API keys were last used, by their digest: while one replaces another, its owner wants to know. */
@Injectable()
export class SecretUsage extends LastUses {
  constructor(transactions: Transactions, clock: Clock, @Inject(LOG) log: Log) {
    super(transactions, clock, log, { table: 'api_key_secrets', key: 'hash' });
  }
}
