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

/**
 * Part of its limit from which a counter is kept over a restart. Whoever has many addresses and does little with each gains
 * nothing by a restart, and is not to have a row written for each.
 */
export const KEPT_FROM = 0.1;

/** What a counter has counted beyond what is written down of it. */
export interface UnwrittenCount {
  id: string;
  /** Fewer than none where some were given back. */
  points: number;
  /** The same, as a part of the limit. */
  share: number;
  /** When the window is over. */
  endsAt: Date;
  /** It has been written down. */
  settle: () => void;
}

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
    private readonly name: string,
    private readonly limit: WindowLimit,
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

  /**
   * Takes one from what the key has in its window.
   *
   * @param key number of the window, a colon, and what is counted
   * @returns whether there was one left
   */
  async take(key: string): Promise<boolean> {
    const { consumedPoints } = await this.inEither((counters) => counters.penalty(key));
    return consumedPoints <= this.local.points;
  }

  /** Gives one back. */
  async giveBack(key: string): Promise<void> {
    await this.inEither((counters) => counters.reward(key));
  }

  /** Goes on from what an earlier process has written down. */
  async resume(key: string, points: number): Promise<void> {
    await this.local.resume(key, points);
  }

  /** What the counters of this process that are to be kept have counted since they were written down. */
  async unwritten(): Promise<UnwrittenCount[]> {
    const { name, local } = this;
    const { points: quota, seconds } = this.limit;
    const now = this.clock.now();
    const counts: UnwrittenCount[] = [];
    for (const key of [...local.changed]) {
      // First, so that what is counted meanwhile is noted again.
      local.changed.delete(key);
      const points = await local.unwritten(key);
      const endsAt = new Date((Number.parseInt(key) + 1) * seconds * 1000);
      if (points === 0 || endsAt <= now) continue;
      local.changed.add(key);
      const settle = () => local.settle(key, points);
      counts.push({ id: `${name}:${key}`, points, share: points / quota, endsAt, settle });
    }
    return counts;
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
  /** Counters to be kept whose count is another than what is written down of it. */
  readonly changed = new Set<string>();
  /** How much of each count is written down. */
  private readonly written = new LRUCache<string, number>({
    max: MOST_COUNTERS,
    dispose: (_, key, reason) => {
      if (reason !== 'evict') return;
      void this.delete(key);
      this.changed.delete(key);
    },
  });

  /** As the library has it, not as it ought to be. */
  get held(): number {
    return this.dump().storage.length;
  }

  override penalty(key: string): Promise<RateLimiterRes> {
    this.written.set(key, this.written.get(key) ?? 0);
    return this.noting(key, super.penalty(key));
  }

  override reward(key: string): Promise<RateLimiterRes> {
    // What has made room meanwhile is not begun anew below nothing.
    return this.written.has(key)
      ? this.noting(key, super.reward(key))
      : Promise.resolve(new RateLimiterRes(this.points));
  }

  async resume(key: string, points: number): Promise<void> {
    const kept = Math.min(points, this.points);
    this.written.set(key, kept);
    await super.penalty(key, kept);
  }

  /** What is to be added to what is written down. How much beyond the limit was asked for makes no difference. */
  async unwritten(key: string): Promise<number> {
    const count = (await this.get(key))?.consumedPoints ?? 0;
    return Math.min(count, this.points) - (this.written.peek(key) ?? 0);
  }

  settle(key: string, points: number): void {
    const before = this.written.peek(key);
    // What has made room meanwhile begins anew.
    if (before !== undefined) this.written.set(key, before + points);
  }

  private async noting(key: string, counting: Promise<RateLimiterRes>): Promise<RateLimiterRes> {
    const count = await counting;
    const written = this.written.peek(key) ?? 0;
    const isKept = Math.max(count.consumedPoints, written) >= this.points * KEPT_FROM;
    if (isKept && Math.min(count.consumedPoints, this.points) !== written) this.changed.add(key);
    return count;
  }
}
