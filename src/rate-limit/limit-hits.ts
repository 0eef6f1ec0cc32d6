import { Inject, Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { AuditTrail } from '../audit/audit-trail';
import { Clock } from '../core/clock';
import { LOG, type Log } from '../core/log';
import { Metrics } from '../core/metrics';
import type { Origin } from '../core/origin';
import { Transactions } from '../database/transactions';
import { type LimitName, LIMITS } from './limits';

/** On whose account, if that is known, and whence. */
export interface Caller {
  /** A function is called only when a hit is recorded: a flood of refused calls must not look accounts up. */
  userId: string | null | (() => Promise<string | null>);
  origin: Origin;
}

/** Seconds in which hits of one limit by one subject are one event. */
const ONE_EVENT_SECONDS = 3600;

/** Subjects whose last event is remembered. When one is forgotten too early, an event more is written. */
const REMEMBERED_SUBJECTS = 10_000;

/** Counts who runs into limits, and has it written down once, not once a request: a flood must not flood the audit trail. */
@Injectable()
export class LimitHits {
  /** When the last event of a limit and subject was written, in milliseconds. */
  private readonly told = new LRUCache<string, number>({ max: REMEMBERED_SUBJECTS });

  constructor(
    private readonly transactions: Transactions,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
    @Inject(LOG) private readonly log: Log,
    private readonly metrics: Metrics,
  ) {
    for (const limit of Object.keys(LIMITS)) metrics.count('latchkey_limit_hits_total', { limit }, 0);
  }

  /**
   * Notes that a call is refused.
   *
   * @param subject digest of what is limited
   * @throws ApiError `service_unavailable` when the event cannot be written
   */
  async note(name: LimitName, subject: string, { userId: whose, origin }: Caller): Promise<void> {
    this.metrics.count('latchkey_limit_hits_total', { limit: name });
    const key = `${name}:${subject}`;
    const now = this.clock.now().getTime();
    if (now < (this.told.get(key) ?? -Infinity) + ONE_EVENT_SECONDS * 1000) return;
    this.told.set(key, now);
    try {
      const userId = typeof whose === 'function' ? await whose() : whose;
      const { ip, requestId } = origin;
      this.log.warn({ limit: name, userId, ip, requestId }, 'A limit is reached');
      await this.transactions.run((tx) =>
        this.audit.recordBounded(tx, { type: 'limit_reached', userId, reason: name }, origin),
      );
    } catch (error) {
      this.told.delete(key);
      throw error;
    }
  }
}
