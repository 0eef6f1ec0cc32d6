import { isIPv6 } from 'node:net';
import { Injectable } from '@nestjs/common';
import { Config } from '../config/config';
import { Clock } from '../core/clock';
import { toNumericDate } from '../core/instant';
import { KeyedDigest } from '../crypto/keyed-digest';
import { KeyRing } from '../crypto/key-ring';
import { RedisLink } from '../redis/redis-link';
import { addressBlock, addressNetwork } from './address-block';
import { type Caller, LimitHits } from './limit-hits';
import { type AddressLimitName, LIMITS, NETWORK_LIMITS, type WindowLimitName } from './limits';
import { rateLimited } from './rate-limited.error';
import { type TakenPoint, WindowCounters } from './window-counters';

/** One that was taken from a limit, and may be given back. */
export type Taken = Pick<TakenPoint, 'giveBack'>;

const NOTHING_TAKEN: Taken = { giveBack: () => Promise.resolve() };

/** A limit, and what is counted: an address block, the id of a session. */
export type Counted = readonly [name: WindowLimitName, subject: string];

/** The limits by windows of time: how often something may be done by one address or one session. */
@Injectable()
export class RateLimits {
  /** Names of what is counted: addresses are nothing to be left lying about in Redis. */
  private readonly digests: KeyedDigest;
  /** By limit; public because `CounterKeeper` writes them down. */
  readonly counters: ReadonlyMap<WindowLimitName, WindowCounters>;

  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly hits: LimitHits,
    keys: KeyRing,
    redis: RedisLink,
  ) {
    this.digests = new KeyedDigest(keys.limitSubject);
    this.counters = new Map(
      Object.entries(LIMITS).flatMap(([name, limit]) =>
        limit.kind === 'window'
          ? [[name as WindowLimitName, new WindowCounters(name, limit, clock, redis)]]
          : [],
      ),
    );
  }

  /** How many counters this process holds, over all limits. */
  get held(): number {
    return [...this.counters.values()].reduce((sum, { held }) => sum + held, 0);
  }

  /**
   * Takes one from the limit. Before what it limits is done, so that many at once are no more than one after the other.
   *
   * @param subject what is counted: an address block, the id of a session
   * @throws ApiError `rate_limited`
   */
  async take(name: WindowLimitName, subject: string, caller: Caller): Promise<Taken> {
    if (!this.config.rateLimits) return NOTHING_TAKEN;
    const { points, seconds } = LIMITS[name];
    const counters = this.counters.get(name) as WindowCounters;
    const now = toNumericDate(this.clock.now());
    const window = Math.floor(now / seconds);
    const digest = this.digests.of([name, subject]);
    const key = `${window}:${digest}`;
    const taken = await counters.take(key);
    if (taken.wasLeft) return taken;
    // Else those who are turned away at once would keep others out when those who were let in give theirs back.
    await taken.giveBack();
    await this.hits.note(name, digest, caller);
    throw rateLimited({ name, quota: points, seconds, retryAfter: (window + 1) * seconds - now });
  }

  /**
   * Takes one for the caller's address and, of IPv6, for the network around it: many addresses may belong to one customer.
   *
   * @throws ApiError `rate_limited`
   */
  takeAddress(name: AddressLimitName, caller: Caller): Promise<Taken> {
    const { ip } = caller.origin;
    const address: Counted = [name, addressBlock(ip)];
    const network: Counted = [NETWORK_LIMITS[name], addressNetwork(ip)];
    return this.takeEach(isIPv6(ip) ? [address, network] : [address], caller);
  }

  /**
   * Takes one from each of the limits, or none from any.
   *
   * @throws ApiError `rate_limited` of the first that is used up
   */
  async takeEach(all: readonly Counted[], caller: Caller): Promise<Taken> {
    const taken: Taken[] = [];
    const giveBack = async (): Promise<void> => {
      for (const one of taken) await one.giveBack();
    };
    try {
      for (const [name, subject] of all) taken.push(await this.take(name, subject, caller));
    } catch (error) {
      await giveBack();
      throw error;
    }
    return { giveBack };
  }
}
