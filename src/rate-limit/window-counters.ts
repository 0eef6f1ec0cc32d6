import { LRUCache } from 'lru-cache';
import {
  type IRateLimiterOptions,
  RateLimiterMemory,
  RateLimiterRedis,
  RateLimiterRes,
} from 'rate-limiter-flexible';
import type { Clock } from '../core/clock';
import type { RedisLink } from '../redis/redis-link';
import type { WindowLimit } from './limits';

/**
 * Counters kept in this process, per limit. An attacker with a wide IPv6 network has more addresses than there is memory;
 * the one that was seen longest ago makes room. To have one of his own forgotten costs him as many points as there are counters, since one
 * that stands at nothing is dropped, and the network around his addresses has far fewer. What is done to an account is counted in the
 * database.
 */
export const MOST_COUNTERS = 20_000;

/**
 * Part of its limit from which a counter is kept over a restart. Whoever has many addresses and does little with each gains
 * nothing by a restart, and is not to have a row written for each.
 */
const KEPT_FROM = 0.1;

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

/** One that was taken, or would have been if there had been one. */
export interface TakenPoint {
  /** Whether there was one left. */
  wasLeft: boolean;
  /**
   * Gives it back where it was counted, and nowhere else: counters that never counted it would allow one more than the limit. Where
   * that is out of reach, or was meanwhile, it stays counted.
   */
  giveBack(): Promise<void>;
}

/** Counts in Redis as the library's own script does, but never to less than none: it may have forgotten what it is given back. */
const COUNT = `
  local points = tonumber(ARGV[1])
  if points < 0 and tonumber(redis.call('get', KEYS[1]) or 0) <= 0 then return {0, 0} end
  redis.call('set', KEYS[1], 0, 'EX', ARGV[2], 'NX')
  return {redis.call('incrby', KEYS[1], points), redis.call('pttl', KEYS[1])}`;

/**
 * Counts by windows of time: in Redis, where there is one, so that all instances count together; in this process while it
 * is lost, and without it. Each window has counters of its own, so that the injected clock alone says when one is over;
 * what the stores let expire by their own clocks is only what is left behind.
 */
export class WindowCounters {
  private readonly options: IRateLimiterOptions;
  private memory: BoundedMemory | undefined;
  private readonly shared: RateLimiterRedis | undefined;

  constructor(
    private readonly name: string,
    private readonly limit: WindowLimit,
    private readonly clock: Clock,
    private readonly redis: RedisLink,
  ) {
    this.options = { points: limit.points, duration: limit.seconds, keyPrefix: `latchkey:limit:${name}` };
    this.shared =
      redis.client &&
      new RateLimiterRedis({ ...this.options, storeClient: redis.client, customIncrTtlLuaScript: COUNT });
  }

  /** Counters held in this process. */
  get held(): number {
    return this.memory?.held ?? 0;
  }

  /**
   * Takes one from what the key has in its window.
   *
   * @param key number of the window, a colon, and what is counted
   */
  async take(key: string): Promise<TakenPoint> {
    const { connectionNumber } = this.redis;
    const shared = await this.inRedis((counters) => counters.penalty(key));
    const { consumedPoints } = shared ?? (await this.local.penalty(key));
    const giveBackToRedis = async () => {
      const isSame = this.redis.connectionNumber === connectionNumber;
      if (isSame) await this.inRedis((counters) => counters.reward(key));
    };
    return {
      wasLeft: consumedPoints <= this.limit.points,
      giveBack: () => (shared ? giveBackToRedis() : this.local.reward(key).then(() => undefined)),
    };
  }

  /** Goes on from what an earlier process has written down. */
  async resume(key: string, points: number): Promise<void> {
    await this.local.resume(key, points);
  }

  /** What the counters of this process that are to be kept have counted since they were written down. */
  unwritten(): UnwrittenCount[] {
    if (!this.memory) return [];
    const { changed } = this.memory;
    const { points: quota, seconds } = this.limit;
    const now = this.clock.now();
    const counts: UnwrittenCount[] = [];
    for (const counter of changed) {
      // How much beyond the limit was asked for makes no difference.
      const points = Math.min(counter.counted, quota) - counter.written;
      const endsAt = new Date((Number.parseInt(counter.key) + 1) * seconds * 1000);
      if (points === 0 || endsAt <= now) {
        changed.delete(counter);
        continue;
      }
      const settle = () => void (counter.written += points);
      counts.push({ id: `${this.name}:${counter.key}`, points, share: points / quota, endsAt, settle });
    }
    return counts;
  }

  /** Made at the first count: the cache lays out its room for all counters at once, and most limits count nothing here. */
  private get local(): BoundedMemory {
    return (this.memory ??= new BoundedMemory(this.options));
  }

  /** @returns undefined without Redis, and where it fails or has just failed */
  private async inRedis(
    count: (counters: RateLimiterRedis) => Promise<RateLimiterRes>,
  ): Promise<RateLimiterRes | undefined> {
    if (!this.shared || this.redis.isAvoided) return undefined;
    try {
      const counted = await count(this.shared);
      this.redis.reportSuccess('counting');
      return counted;
    } catch (error) {
      // Counting goes on here: never open, only no longer shared.
      this.redis.reportLoss('counting', error);
      return undefined;
    }
  }
}

/** A counter in memory. A key that was evicted and comes back gets a new one. */
interface KnownCounter {
  readonly key: string;
  /** What it stands at, as the library told last. */
  counted: number;
  /** Taken by callers and not given back; ahead of what the library tells, which it does asynchronously. */
  held: number;
  /** How much of that is written down. */
  written: number;
}

/** The library's counters in memory, but no more than so many of them. */
class BoundedMemory extends RateLimiterMemory {
  /** Counters to be kept whose count is another than what is written down of it. */
  readonly changed = new Set<KnownCounter>();
  private readonly known = new LRUCache<string, KnownCounter>({
    max: MOST_COUNTERS,
    dispose: (counter, _key, reason) => {
      if (reason === 'evict') this.forget(counter);
    },
  });

  /** As the library has it, not as it ought to be. */
  get held(): number {
    return this.dump().storage.length;
  }

  override penalty(key: string): Promise<RateLimiterRes> {
    const counter = this.counterOf(key);
    counter.held += 1;
    return this.noting(counter, super.penalty(key));
  }

  override async reward(key: string): Promise<RateLimiterRes> {
    const counter = this.known.peek(key);
    // A counter that was evicted meanwhile is not made anew with less than nothing.
    if (!counter) return new RateLimiterRes(this.points);
    counter.held -= 1;
    const count = await this.noting(counter, super.reward(key));
    if (counter.held === 0 && counter.written === 0 && this.known.peek(key) === counter) this.drop(counter);
    return count;
  }

  async resume(key: string, points: number): Promise<void> {
    const counter = this.counterOf(key);
    counter.written = Math.min(points, this.points);
    await this.noting(counter, super.penalty(key, counter.written));
  }

  private counterOf(key: string): KnownCounter {
    const counter = this.known.get(key) ?? { key, counted: 0, held: 0, written: 0 };
    this.known.set(key, counter);
    return counter;
  }

  /** Else it would take a place from another that counts something. */
  private drop(counter: KnownCounter): void {
    this.known.delete(counter.key);
    this.forget(counter);
  }

  private forget(counter: KnownCounter): void {
    void this.delete(counter.key);
    this.changed.delete(counter);
  }

  private async noting(counter: KnownCounter, counting: Promise<RateLimiterRes>): Promise<RateLimiterRes> {
    const count = await counting;
    counter.counted = count.consumedPoints;
    const { counted, written } = counter;
    const isKept = Math.max(counted, written) >= this.points * KEPT_FROM;
    if (isKept && Math.min(counted, this.points) !== written) this.changed.add(counter);
    return count;
  }
}
