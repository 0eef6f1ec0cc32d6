import { LRUCache } from 'lru-cache';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import type { Clock } from '../core/clock';
import type { RedisLink } from '../redis/redis-link';
import type { WindowLimit } from './limits';

/**
 * Counters kept in this process, per limit. An attacker with a wide IPv6 network has more addresses than there is memory;
 * the one that was seen longest ago makes room. That gives him nothing that a fresh address would not, since what is
 * counted here is what one address does; what is done to an account is counted in the database.
 */
export const MOST_COUNTERS = 20_000;

/** Milliseconds for which Redis is left alone after it has failed, so that few calls wait for it while it hangs. */
const AVOIDED_MS = 5_000;

/**
 * Counts by windows of time: in Redis, where there is one, so that all instances count together; in this process while it
 * is lost, and without it. Each window has counters of its own, so that the injected clock alone says when one is over;
 * what the stores let expire by their own clocks is only what is left behind.
 */
export class WindowCounters {
  private readonly local: BoundedMemory;
  private readonly shared: RateLimiterRedis | undefined;
  private avoidedUntil = -Infinity;

  constructor(
    name: string,
    limit: WindowLimit,
    private readonly clock: Clock,
    private readonly redis: RedisLink,
  ) {
    const options = { points: limit.points, duration: limit.seconds, keyPrefix: `latchkey:limit:${name}` };
    this.local = new BoundedMemory(options);
    this.shared = redis.client && new RateLimiterRedis({ ...options, storeClient: redis.client });
  }

  /** Counters held in this process. */
  get held(): number {
    return this.local.held;
  }

  /** Takes one from what the key has in its window. @returns whether there was one left */
  async take(key: string): Promise<boolean> {
    const { consumedPoints } = await this.inEither((counters) => counters.penalty(key));
    return consumedPoints <= this.local.points;
  }

  /** Gives one back. */
  async giveBack(key: string): Promise<void> {
    await this.inEither((counters) => counters.reward(key));
  }

  private async inEither(
    count: (counters: RateLimiterRedis | BoundedMemory) => Promise<RateLimiterRes>,
  ): Promise<RateLimiterRes> {
    if (this.shared && this.clock.monotonic() >= this.avoidedUntil) {
      try {
        return await count(this.shared);
      } catch (error) {
        // Counting goes on here: never open, only no longer shared.
        this.redis.reportLoss(error);
        this.avoidedUntil = this.clock.monotonic() + AVOIDED_MS;
      }
    }
    return count(this.local);
  }
}

/** The library's counters in memory, but no more than so many of them. */
class BoundedMemory extends RateLimiterMemory {
  private readonly keys = new LRUCache<string, true>({
    max: MOST_COUNTERS,
    dispose: (_, key, reason) => void (reason === 'evict' && this.delete(key)),
  });

  /** As the library has it, not as it ought to be. */
  get held(): number {
    return this.dump().storage.length;
  }

  override penalty(key: string): Promise<RateLimiterRes> {
    this.keys.set(key, true);
    return super.penalty(key);
  }

  override reward(key: string): Promise<RateLimiterRes> {
    // What has made room meanwhile is not begun anew below nothing.
    return this.keys.has(key) ? super.reward(key) : Promise.resolve(new RateLimiterRes(this.points));
  }
}
