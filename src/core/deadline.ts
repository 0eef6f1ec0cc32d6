import type { Clock } from './clock';
import { ApiError } from './errors';
import { currentBudget } from './request-budget';

/**
 * Until when a unit of work may go on. Its caller is answered when the time is up, whatever the engine is doing; what the
 * unit still holds is given up through `onExpiry`, and what it would do next it must not do any more.
 */
export class Deadline {
  private expired = false;
  private giveUp: () => void = () => undefined;

  /**
   * The unit's own outcome, or `service_unavailable` once `milliseconds` have passed.
   *
   * @param done called at that moment, whichever it is
   */
  static run<T>(
    milliseconds: number,
    unit: (deadline: Deadline) => Promise<T>,
    done: () => void = () => undefined,
  ): Promise<T> {
    if (milliseconds <= 0) return Promise.reject(outOfTime());
    const deadline = new Deadline();
    return new Promise((resolve, reject) => {
      const outcome = unit(deadline);
      const timer = setTimeout(() => {
        deadline.expired = true;
        deadline.giveUp();
        done();
        reject(outOfTime());
      }, milliseconds);
      const settled = () => {
        clearTimeout(timer);
        if (!deadline.expired) done();
      };
      outcome.then(
        (result) => {
          settled();
          resolve(result);
        },
        (error: Error) => {
          settled();
          reject(error);
        },
      );
    });
  }

  /**
   * The same for as long as the request that it belongs to has time left, from which it is taken; outside of requests for
   * `otherwise` milliseconds.
   */
  static ofRequest<T>(clock: Clock, otherwise: number, unit: (deadline: Deadline) => Promise<T>): Promise<T> {
    const budget = currentBudget();
    if (!budget) return Deadline.run(otherwise, unit);
    const begun = clock.monotonic();
    return Deadline.run(budget.left, unit, () => {
      budget.left -= clock.monotonic() - begun;
    });
  }

  /**
   * Has `giveUp` called if the time runs out. The last one counts.
   *
   * @returns what undoes that
   */
  onExpiry(giveUp: () => void): () => void {
    this.giveUp = giveUp;
    return () => {
      if (this.giveUp === giveUp) this.giveUp = () => undefined;
    };
  }

  /** @throws ApiError `service_unavailable` when the time is up, and nobody waits any more */
  throwIfExpired(): void {
    if (this.expired) throw outOfTime();
  }
}

function outOfTime(): ApiError {
  return new ApiError('service_unavailable', { cause: new Error('The database took too long') });
}
