import type { Deadline } from '../core/deadline';
import { ApiError } from '../core/errors';

/** Units of work that may wait for one account: as many as may wait for a connection. */
export const MOST_IN_LINE = 500;

/**
 * Has units of work that take the same account's row pass one at a time. Whoever waits for a row's lock in the database holds
 * a connection meanwhile, and as many as there are connections, all of one account, would leave none to anybody else.
 */
export class AccountLines {
  /** Who waits, in the order in which they came. An account has a line for as long as one of its units is under way. */
  private readonly lines = new Map<string, Set<() => void>>();

  /** Accounts of which a unit is under way. */
  get size(): number {
    return this.lines.size;
  }

  /**
   * The unit's own result or failure; a failure stops nobody behind it. Whoever still waits when his time is up has left
   * the line, and his unit is never begun.
   *
   * @throws ApiError `service_unavailable` when too many wait already, or the time is up
   */
  async pass<T>(account: string, deadline: Deadline, unit: () => Promise<T>): Promise<T> {
    await this.turn(account, deadline);
    try {
      return await unit();
    } finally {
      this.callNext(account);
    }
  }

  private turn(account: string, deadline: Deadline): Promise<void> | undefined {
    const line = this.lines.get(account);
    if (!line) {
      this.lines.set(account, new Set());
      return undefined;
    }
    if (line.size >= MOST_IN_LINE) {
      throw new ApiError('service_unavailable', { cause: new Error('Too many wait for one account') });
    }
    return new Promise((resolve, reject) => {
      line.add(resolve);
      deadline.onExpiry(() => {
        line.delete(resolve);
        reject(
          new ApiError('service_unavailable', { cause: new Error('Others of the account took too long') }),
        );
      });
    });
  }

  /** Whoever is next has the turn already: nobody who comes now gets in between. */
  private callNext(account: string): void {
    const line = this.lines.get(account);
    const [next] = line ?? [];
    if (!line || !next) {
      this.lines.delete(account);
      return;
    }
    line.delete(next);
    next();
  }
}
