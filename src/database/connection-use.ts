import { ApiError } from '../core/errors';
import type { Metrics } from '../core/metrics';

/** Counts who uses a connection and who waits for one, the same way for a pool and for SQLite's queue. */
export class ConnectionUse {
  private units = 0;
  private used = 0;

  /** @param most how many connections there may be */
  constructor(
    private readonly metrics: Metrics,
    most: number,
  ) {
    metrics.gauge('latchkey_database_connections_max', {}, () => most);
    metrics.gauge('latchkey_database_connections_used', {}, () => this.used);
    metrics.gauge('latchkey_database_waiting', {}, () => Math.max(0, this.units - this.used));
    metrics.count('latchkey_database_failures_total', {}, 0);
    metrics.count('latchkey_database_refusals_total', {}, 0);
  }

  /** A unit of work has come, and waits or works until it leaves; also on behind the back of a caller who has been answered. */
  arrive(): void {
    this.units += 1;
  }

  leave(): void {
    this.units -= 1;
  }

  /** A connection is held until it is given back. */
  take(): void {
    this.used += 1;
  }

  giveBack(): void {
    this.used -= 1;
  }

  /**
   * Counts what the engine is to blame for. A unit that never had its turn is a refusal, so that a crowd does not look like a
   * failing database.
   *
   * @param hadTurn whether the unit of work had come to its turn
   */
  noteFailure(error: unknown, hadTurn: boolean): void {
    if (!(error instanceof ApiError && error.code === 'service_unavailable')) return;
    this.metrics.count(hadTurn ? 'latchkey_database_failures_total' : 'latchkey_database_refusals_total', {});
  }
}
