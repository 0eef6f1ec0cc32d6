import { Injectable } from '@nestjs/common';
import { ApiError } from '../core/errors';
import { withBudget } from '../core/request-budget';
import { hasPendingMigrations } from '../database/migration-status';
import { Transactions } from '../database/transactions';
import { Drain } from '../http/drain';
import { ClockKeeper } from '../revocation/clock-keeper';
import { RevocationFeed } from '../revocation/revocation-feed';

/** Milliseconds that the database has to answer: load balancers give the whole check two or three seconds. */
const DATABASE_PATIENCE_MS = 1_000;

/**
 * Milliseconds after which the feed counts as lost. Later than requests stop relying on it: they ask the database then, and
 * one poll that is late must not send everybody to the other instances.
 */
const FEED_PATIENCE_MS = 5_000;

/** Whether requests should be sent here. */
@Injectable()
export class Readiness {
  private reading: Promise<boolean> | undefined;

  constructor(
    private readonly transactions: Transactions,
    private readonly feed: RevocationFeed,
    private readonly drain: Drain,
    private readonly clocks: ClockKeeper,
  ) {}

  /**
   * Returns when requests can be served.
   *
   * @throws ApiError `draining`, `database_unreachable`, `migrations_pending`, `database_read_only`, `revocation_feed_stale`,
   * `clock_astray`: what is looked at in this order
   */
  async check(): Promise<void> {
    if (this.drain.isUnderWay) throw new ApiError('draining');
    if (await this.hasPendingMigrations()) throw new ApiError('migrations_pending');
    if (this.feed.isServerReadOnly) throw new ApiError('database_read_only');
    if (this.feed.age > FEED_PATIENCE_MS) throw new ApiError('revocation_feed_stale');
    if (this.clocks.isAstray) throw new ApiError('clock_astray');
  }

  /** One look at the database answers all who ask meanwhile: anybody may, as often as he likes. */
  private hasPendingMigrations(): Promise<boolean> {
    this.reading ??= withBudget(DATABASE_PATIENCE_MS, () => this.transactions.readFirst(hasPendingMigrations))
      .catch(blameDatabase)
      .finally(() => (this.reading = undefined));
    return this.reading;
  }
}

/** A defect of ours stays one. */
function blameDatabase(error: unknown): never {
  if (!(error instanceof ApiError)) throw error;
  throw new ApiError('database_unreachable', { cause: error.cause ?? error });
}
