import { Inject, Injectable, type OnApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import { Clock } from '../core/clock';
import { LOG, type Log } from '../core/log';
import { OutageLog } from '../core/outage-log';
import { PeriodicTask } from '../core/periodic-task';
import { elseAdd, execute, select, type SqlValue } from '../database/sql';
import { Transactions } from '../database/transactions';
import type { WindowLimitName } from './limits';
import { RateLimits } from './rate-limits';
import { MOST_COUNTERS, type UnwrittenCount } from './window-counters';

/** Milliseconds between two rounds, and so about the most that a process that is killed has counted for nothing. */
const INTERVAL_MS = 4_000;

/** Counters per round: whoever has many addresses makes no more rows than are removed again. */
export const BATCH_SIZE = 200;

/** Batches by a clean stop: an attacker with many addresses does not use up the time that it has. */
export const BATCHES_AT_STOP = 10;

/**
 * Keeps what this process counts by windows of time in the database, so that a restart does not open the limits. No request
 * waits for that: what decides are the counters in memory, which are written down behind the requests' backs and read at
 * the start. They are added to what stands there, so that several instances may do so. A clean stop writes what is left, up to a
 * bound.
 */
@Injectable()
export class CounterKeeper implements OnApplicationShutdown, OnModuleDestroy {
  private readonly rounds = new PeriodicTask({ intervalMs: INTERVAL_MS, round: () => this.flush() });
  private isRead = false;
  private readonly outage: OutageLog;

  constructor(
    private readonly transactions: Transactions,
    private readonly clock: Clock,
    @Inject(LOG) log: Log,
    private readonly limits: RateLimits,
  ) {
    this.outage = new OutageLog(log, {
      begun: 'What limits count could not be read or written down yet',
      over: 'What limits count is written down again',
    });
  }

  /** Reads what was counted before, and goes on to write down what is counted from now on. */
  async start(): Promise<void> {
    await this.flush();
    this.rounds.start();
  }

  onModuleDestroy(): void {
    this.rounds.retire();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.rounds.stop();
    this.outage.expectLastTry();
    await this.attempt(() => this.write(BATCHES_AT_STOP));
  }

  /** Writes down what has been counted, the counters that counted most first. What cannot be written is kept for the next time. */
  flush(): Promise<void> {
    return this.attempt(async () => {
      if (!this.isRead) await this.read();
      await this.write(1);
    });
  }

  private async attempt(work: () => Promise<void>): Promise<void> {
    // By a clock that is astray, windows that go on would seem to be over.
    if (!this.clock.isTrusted) return;
    try {
      await work();
      this.outage.succeeded();
    } catch (error) {
      this.outage.failed(error);
    }
  }

  /** Before anything is written: this process's own is not to be counted twice. */
  private async read(): Promise<void> {
    const rows = await this.transactions.read((tx) =>
      select<{ id: string; points: number }>(
        tx,
        `SELECT id, points FROM limit_counters WHERE ends_at > ? ORDER BY points DESC LIMIT ${MOST_COUNTERS}`,
        [this.clock.now()],
      ),
    );
    this.isRead = true;
    // The fullest last: they are the last to make room.
    for (const { id, points } of rows.reverse()) {
      const [name, ...key] = id.split(':');
      await this.limits.counters.get(name as WindowLimitName)?.resume(key.join(':'), points);
    }
  }

  /** Looks through the counters once, however many batches they make. */
  private async write(batches: number): Promise<void> {
    const counts = [...this.limits.counters.values()]
      .flatMap((counters) => counters.unwritten())
      .sort((a, b) => b.share - a.share)
      .slice(0, batches * BATCH_SIZE);
    for (let start = 0; start < counts.length; start += BATCH_SIZE) {
      await this.writeBatch(counts.slice(start, start + BATCH_SIZE));
    }
  }

  private async writeBatch(batch: UnwrittenCount[]): Promise<void> {
    // Two batches that meet take their rows in the same order.
    batch.sort((a, b) => (a.id < b.id ? -1 : 1));
    const places = batch.map(() => '(?, ?, ?)').join(', ');
    const values = batch.flatMap(({ id, points, endsAt }): SqlValue[] => [id, points, endsAt]);
    await this.transactions.run((tx) =>
      execute(
        tx,
        `INSERT INTO limit_counters (id, points, ends_at) VALUES ${places} ${elseAdd(tx, 'id', 'points')}`,
        values,
      ),
    );
    for (const { settle } of batch) settle();
  }
}
