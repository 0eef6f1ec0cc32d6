import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Clock } from '../core/clock';
import { LOG, type Log } from '../core/log';
import { execute } from '../database/sql';
import { Transactions } from '../database/transactions';

/** Milliseconds between two batches: a use shows well within ten seconds. */
const FLUSH_INTERVAL_MS = 4_000;

/** Updates per transaction, so that a large batch does not keep others waiting. */
const BATCH_SIZE = 100;

/** Remembers when keys were used and writes it down in batches: a write per request would cost more than the request. */
@Injectable()
export class KeyUsage implements OnApplicationShutdown {
  private pending = new Map<string, Date>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly transactions: Transactions,
    private readonly clock: Clock,
    @Inject(LOG) private readonly log: Log,
  ) {}

  /** Notes a use, now. */
  note(hash: string): void {
    this.pending.set(hash, this.clock.now());
    this.timer ??= setTimeout(() => void this.flush(), FLUSH_INTERVAL_MS).unref();
  }

  /** Writes what has been noted. What cannot be written is kept for the next time. */
  async flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const uses = [...this.pending];
    this.pending = new Map();
    for (let start = 0; start < uses.length; start += BATCH_SIZE) {
      const batch = uses.slice(start, start + BATCH_SIZE);
      try {
        await this.write(batch);
      } catch (error) {
        this.log.warn(
          { err: error, keys: batch.length },
          'The last uses of API keys could not be written yet',
        );
        this.keepForLater(batch);
      }
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.flush();
    clearTimeout(this.timer);
  }

  /** Forward only: of two instances that write late, the later use wins. */
  private write(uses: [hash: string, usedAt: Date][]): Promise<void> {
    return this.transactions.run(async (tx) => {
      for (const [hash, usedAt] of uses) {
        await execute(
          tx,
          'UPDATE api_key_secrets SET last_used_at = ? WHERE hash = ? AND (last_used_at IS NULL OR last_used_at < ?)',
          [usedAt, hash, usedAt],
        );
      }
    });
  }

  private keepForLater(uses: [hash: string, usedAt: Date][]): void {
    for (const [hash, usedAt] of uses) if (!this.pending.has(hash)) this.pending.set(hash, usedAt);
    this.timer ??= setTimeout(() => void this.flush(), FLUSH_INTERVAL_MS).unref();
  }
}
