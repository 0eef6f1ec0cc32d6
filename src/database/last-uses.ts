import type { OnApplicationShutdown, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import type { Clock } from '../core/clock';
import { toNumericDate } from '../core/instant';
import type { Log } from '../core/log';
import { OutageLog } from '../core/outage-log';
import { PeriodicTask } from '../core/periodic-task';
import { execute } from './sql';
import type { Transactions } from './transactions';

/** Milliseconds between two batches: a use shows well within ten seconds. */
const FLUSH_INTERVAL_MS = 4_000;

/** Rows per statement, so that a large batch does not keep others waiting. */
const BATCH_SIZE = 200;

/** Batches that may fail in a round before the rest is left for the next one. */
const MOST_FAILURES = 2;

/** Where uses are written: `table.last_used_at`, by the key column. Constants of ours, never a caller's words. */
export interface LastUseColumn {
  table: string;
  key: string;
}

/**
 * Remembers when things were used and writes it down in batches, by the second: a write per request would cost more than
 * the request. A clean stop writes what is left. Each kind of thing has a subclass that says where its uses are written.
 */
export abstract class LastUses implements OnModuleInit, OnModuleDestroy, OnApplicationShutdown {
  private pending = new Map<string, number>();
  private readonly outage: OutageLog;
  private readonly flushing = new PeriodicTask({
    intervalMs: FLUSH_INTERVAL_MS,
    round: () => this.flush(),
  });

  constructor(
    private readonly transactions: Transactions,
    private readonly clock: Clock,
    log: Log,
    private readonly column: LastUseColumn,
  ) {
    this.outage = new OutageLog(log, {
      begun: 'Last uses could not be written yet',
      over: 'Last uses are written again',
    });
  }

  onModuleInit(): void {
    this.flushing.start();
  }

  onModuleDestroy(): void {
    this.flushing.retire();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.flushing.stop();
    this.outage.expectLastTry();
    await this.flush();
  }

  /** Notes a use, now. It shows within ten seconds. */
  note(key: string): void {
    this.pending.set(key, toNumericDate(this.clock.now()));
  }

  /**
   * Writes what has been noted. What cannot be written is kept for the next time. The first batch that fails may have met a row that
   * somebody holds; after a second the rest is not tried.
   */
  async flush(): Promise<void> {
    const uses = this.pending;
    this.pending = new Map();
    const failures: unknown[] = [];
    for (const batch of inBatches(uses)) {
      try {
        await this.write(batch);
        for (const [key] of batch) uses.delete(key);
      } catch (error) {
        failures.push(error);
        if (failures.length === MOST_FAILURES) break;
      }
    }
    if (failures.length === 0) this.outage.succeeded();
    else this.outage.failed(failures[0], { table: this.column.table, rows: uses.size });
    this.pending = new Map([...uses, ...this.pending]);
  }

  /**
   * Forward only: of two instances that write late, the later use wins. One statement, whatever the seconds: each commit waits for the
   * disk. They are told apart by lists, in which the engines search, where a case for each key would be tried one after the other.
   */
  private async write(batch: Use[]): Promise<void> {
    const { table, key } = this.column;
    const groups = bySecond(batch).map(({ second, keys }) => ({
      listed: `${key} IN (${keys.map(() => '?').join(', ')})`,
      values: [...keys, new Date(second * 1000)],
    }));
    const moments = groups.map(({ listed }) => `WHEN ${listed} THEN ?`).join(' ');
    const older = groups.map(({ listed }) => `${listed} AND (last_used_at IS NULL OR last_used_at < ?)`);
    const values = groups.flatMap((group) => group.values);
    await this.transactions.run((tx) =>
      execute(tx, `UPDATE ${table} SET last_used_at = CASE ${moments} END WHERE ${older.join(' OR ')}`, [
        ...values,
        ...values,
      ]),
    );
  }
}

/** What was used, and in which second. */
type Use = [key: string, second: number];

/** As many as one statement writes. Sorted, so that two batches that meet take their rows in the same order. */
function* inBatches(uses: Map<string, number>): Generator<Use[]> {
  const sorted = [...uses].sort(([a], [b]) => (a < b ? -1 : 1));
  for (let start = 0; start < sorted.length; start += BATCH_SIZE)
    yield sorted.slice(start, start + BATCH_SIZE);
}

function bySecond(batch: Use[]): { second: number; keys: string[] }[] {
  const groups = new Map<number, string[]>();
  for (const [key, second] of batch) {
    const group = groups.get(second);
    if (group) group.push(key);
    else groups.set(second, [key]);
  }
  return [...groups].map(([second, keys]) => ({ second, keys }));
}
