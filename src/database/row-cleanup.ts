import type { OnApplicationShutdown, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import type { Clock } from '../core/clock';
import type { Failpoints } from '../core/failpoints';
import { addSeconds } from '../core/instant';
import type { Log } from '../core/log';
import { OutageLog } from '../core/outage-log';
import { PeriodicTask } from '../core/periodic-task';
import { paced } from './paced';
import { execute, select } from './sql';
import type { Transactions } from './transactions';

/** Milliseconds between two rounds. */
const INTERVAL_MS = 60_000;

/** Rows per transaction, so that nobody waits behind one, and transactions per round. */
export const BATCH_SIZE = 200;
export const BATCHES_PER_ROUND = 50;

/** Seconds that a row is kept after its end: far more than the clocks of two instances may differ by. */
const KEPT_FOR_SECONDS = 24 * 3600;

/** Rows that can be done without once an instant of theirs has passed. Constants of ours, never a caller's words. */
export interface DeadRows {
  table: string;
  /** The primary key. */
  key: string;
  /** Columns with an index; a row is dead a day after the instant in any of them. */
  endedBy: readonly string[];
  /** Seconds instead of that day, for rows that may come in great numbers. */
  keptForSeconds?: number;
}

/** What became of a batch: another instance may have been faster with some of what was found. */
interface Removal {
  found: number;
  deleted: number;
}

/**
 * Removes dead rows in the background, in small batches. Any number of instances may do so at once: a row that another one
 * has removed is simply not there. Each kind of row has a subclass that says which are dead.
 */
export abstract class RowCleanup implements OnModuleInit, OnModuleDestroy, OnApplicationShutdown {
  private readonly rounds = new PeriodicTask({ intervalMs: INTERVAL_MS, round: () => this.round() });
  private readonly outage: OutageLog;
  private stopping = false;

  constructor(
    private readonly transactions: Transactions,
    private readonly clock: Clock,
    private readonly failpoints: Failpoints,
    private readonly log: Log,
    private readonly rows: DeadRows,
  ) {
    this.outage = new OutageLog(log, {
      begun: 'Dead rows could not be removed yet',
      over: 'Dead rows are removed again',
    });
  }

  onModuleInit(): void {
    this.rounds.start();
  }

  onModuleDestroy(): void {
    this.stopping = true;
    this.rounds.retire();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.rounds.stop();
  }

  /**
   * Removes what is dead now, at most ten thousand rows by each of the columns; nothing, while the clock is not to be trusted.
   *
   * @param onProgress told after each batch how many rows it has removed
   * @returns how many rows this call has removed
   * @throws ApiError `service_unavailable`
   */
  sweep(onProgress?: (removed: number) => void): Promise<number> {
    return this.sweepBy((batch) => batch(), onProgress);
  }

  /**
   * Removes everything that is dead now, however much, and pauses after each batch for as long as it took.
   *
   * @param onProgress told after each batch how many rows it has removed
   * @returns how many rows this call has removed
   * @throws ApiError `service_unavailable`
   */
  async sweepAll(onProgress?: (removed: number) => void): Promise<number> {
    let removed = 0;
    for (;;) {
      const more = await this.sweepBy((batch) => paced(this.clock, batch), onProgress);
      if (more === 0) return removed;
      removed += more;
    }
  }

  private async sweepBy(
    turn: (batch: () => Promise<Removal>) => Promise<Removal>,
    onProgress: (removed: number) => void = () => undefined,
  ): Promise<number> {
    if (!this.clock.isTrusted) return 0;
    const { keptForSeconds = KEPT_FOR_SECONDS } = this.rows;
    const endedBefore = addSeconds(this.clock.now(), -keptForSeconds);
    let removed = 0;
    for (const column of this.rows.endedBy) {
      for (let batch = 0; batch < BATCHES_PER_ROUND && !this.stopping; batch += 1) {
        const { found, deleted } = await turn(() => this.removeBatch(column, endedBefore));
        removed += deleted;
        onProgress(deleted);
        if (found < BATCH_SIZE) break;
      }
    }
    return removed;
  }

  private removeBatch(column: string, endedBefore: Date): Promise<Removal> {
    const { table, key } = this.rows;
    return this.transactions.run(async (tx) => {
      // In the order of the key, so that two instances that meet take their locks in the same order.
      const dead = await select<{ id: string | number }>(
        tx,
        `SELECT ${key} AS id FROM ${table} WHERE ${column} <= ? ORDER BY ${column} LIMIT ${BATCH_SIZE}`,
        [endedBefore],
      );
      if (dead.length === 0) return { found: 0, deleted: 0 };
      await this.failpoints.reach('cleanup:rows_selected');
      const ids = dead.map(({ id }) => id).sort();
      const places = ids.map(() => '?').join(', ');
      // A row may have come to life again since: an account that had been left alone for long is tried once more.
      const deleted = await execute(
        tx,
        `DELETE FROM ${table} WHERE ${key} IN (${places}) AND ${column} <= ?`,
        [...ids, endedBefore],
      );
      return { found: dead.length, deleted };
    });
  }

  private async round(): Promise<void> {
    try {
      const removed = await this.sweep();
      this.outage.succeeded();
      if (removed > 0) this.log.debug({ table: this.rows.table, removed }, 'Removed dead rows');
    } catch (error) {
      this.outage.failed(error, { table: this.rows.table });
    }
  }
}
