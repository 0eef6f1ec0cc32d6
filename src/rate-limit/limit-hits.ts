import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { AuditTrail } from '../audit/audit-trail';
import { Clock } from '../core/clock';
import { ApiError } from '../core/errors';
import { LOG, type Log } from '../core/log';
import { Metrics } from '../core/metrics';
import { withPartOfBudget } from '../core/request-budget';
import type { Origin } from '../core/origin';
import { OutageLog } from '../core/outage-log';
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

/** Hits that wait to be written down while that fails. Of others, the next call that is refused is another try. */
const MOST_WAITING = 100;

/** Milliseconds after a failure in which nothing is tried: whoever is refused must not cost a statement each that fails. */
const PAUSE_MS = 1_000;

/** Milliseconds of a stop for what waits, which leave time to seal it and all other events. */
const LAST_WRITING_MS = 1_000;

/** A hit that is to be written down. */
interface Hit {
  name: LimitName;
  caller: Caller;
}

/** Counts who runs into limits, and has it written down once, not once a request: a flood must not flood the audit trail. */
@Injectable()
export class LimitHits implements OnApplicationShutdown {
  /** When the last event of a limit and subject was written, or left waiting, in milliseconds. */
  private readonly told = new LRUCache<string, number>({ max: REMEMBERED_SUBJECTS });
  /** By limit and subject. */
  private readonly waiting = new Map<string, Hit>();
  private readonly outage: OutageLog;
  /** By the monotonic clock. */
  private pausedUntil = -Infinity;

  constructor(
    private readonly transactions: Transactions,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
    @Inject(LOG) private readonly log: Log,
    private readonly metrics: Metrics,
  ) {
    this.outage = new OutageLog(log, {
      begun: 'Limits that are reached cannot be written down',
      over: 'Limits that are reached are written down again',
    });
    for (const limit of Object.keys(LIMITS)) metrics.count('latchkey_limit_hits_total', { limit }, 0);
  }

  /**
   * Notes that a call is refused. It is refused all the same where that cannot be written down, which is made up for when
   * one is refused later on.
   *
   * @param subject digest of what is limited
   */
  async note(name: LimitName, subject: string, caller: Caller): Promise<void> {
    this.metrics.count('latchkey_limit_hits_total', { limit: name });
    const key = `${name}:${subject}`;
    const now = this.clock.now().getTime();
    const isTold = now < (this.told.get(key) ?? -Infinity) + ONE_EVENT_SECONDS * 1000;
    if (!isTold) this.keep(key, { name, caller });
    if (this.waiting.size === 0 || this.clock.monotonic() < this.pausedUntil) return;
    await this.writeWaiting();
  }

  /** Writes down what waits, before the last events are sealed. What cannot be written then is lost. */
  async onApplicationShutdown(): Promise<void> {
    const { size: events } = this.waiting;
    if (events === 0) return;
    // In a line of its own, not the outage's: it says how many there were.
    const lost = (error: unknown) =>
      this.log.warn({ events, err: error }, 'Limits that were reached are lost, since the service stops');
    try {
      await withPartOfBudget(LAST_WRITING_MS, () => this.writeWaiting());
      if (this.waiting.size > 0) lost(undefined);
    } catch (error) {
      lost(error);
    }
  }

  private keep(key: string, hit: Hit): void {
    if (this.waiting.size >= MOST_WAITING) return void this.told.delete(key);
    this.told.set(key, this.clock.now().getTime());
    this.waiting.set(key, hit);
  }

  private async writeWaiting(): Promise<void> {
    // Nobody else writes the same meanwhile.
    const batch = [...this.waiting];
    this.waiting.clear();
    try {
      const hits = await Promise.all(batch.map(([, hit]) => identify(hit)));
      await this.transactions.run(async (tx) => {
        for (const { name, userId, origin } of hits)
          await this.audit.recordBounded(tx, { type: 'limit_reached', userId, reason: name }, origin);
      });
      this.outage.succeeded();
      // Not before: while it fails, each further try would be another line.
      for (const { name: limit, userId, origin } of hits) {
        const { ip, requestId } = origin;
        this.log.warn({ limit, userId, ip, requestId }, 'A limit is reached');
      }
    } catch (error) {
      if (!(error instanceof ApiError)) {
        for (const [key] of batch) this.told.delete(key);
        throw error;
      }
      this.pausedUntil = this.clock.monotonic() + PAUSE_MS;
      for (const [key, hit] of batch) this.keep(key, hit);
      this.outage.failed(error.cause ?? error);
    }
  }
}

async function identify({ name, caller: { userId: whose, origin } }: Hit) {
  return { name, origin, userId: typeof whose === 'function' ? await whose() : whose };
}
