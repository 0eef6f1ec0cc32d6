import { setTimeout as delay } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { Redis, ReplyError } from 'ioredis';
import { Config } from '../config/config';
import { Clock } from '../core/clock';
import { LOG, type Log } from '../core/log';
import { OutageLog } from '../core/outage-log';
import { PeriodicTask } from '../core/periodic-task';
import { type RedisAddress, redisAddress } from './redis-address';

/** Milliseconds for a connection to come up, and for a command to be answered. Beyond that, Redis counts as lost. */
const CONNECT_TIMEOUT_MS = 1_000;
export const COMMAND_TIMEOUT_MS = 500;

/** Milliseconds between two attempts to connect again. */
const RETRY_MS = 500;

/**
 * Milliseconds without a refusal after which what was refused counts as done again. A Redis that is full refuses one thing
 * and has room for the next, for as long as it is full.
 */
export const SETTLED_MS = 10_000;

/** Milliseconds for which nobody waits for Redis after it has failed, so that few calls are slow while it hangs. */
const AVOIDED_MS = 5_000;

/** Milliseconds between two probes of the connections: whether they still lead to somebody. */
const PROBE_INTERVAL_MS = 1_000;

/**
 * Probes in a row that nobody has answered, after which a connection is made anew. Where the host is lost without a word, the kernel
 * would go on believing in it for a quarter of an hour, or for two hours where nothing is sent.
 */
const LOST_AFTER_PROBES = 3;

/** Something that failed. */
interface Failure {
  /** The last time, by the monotonic clock. */
  at: number;
  /** Whether it has been done since. */
  doneSince: boolean;
}

/** What is asked of Redis. It may do one and refuse another: when it is full it counts nothing and still passes messages on. */
export type RedisUse = 'counting' | 'publishing' | 'listening';

/**
 * The way to Redis, where `REDIS_URL` names one. Redis makes things faster and shares them between instances; nothing that
 * must hold rests on it. So it may be missing at the start and may come and go: that is logged once, never thrown at a
 * caller who did not ask.
 */
@Injectable()
export class RedisLink implements OnModuleInit, OnModuleDestroy, OnApplicationShutdown {
  /** For commands; absent without `REDIS_URL`. A command fails at once while there is no connection. */
  readonly client: Redis | undefined;
  private readonly subscriber: Redis | undefined;
  private connected = 0;
  private avoidedUntil = -Infinity;
  private readonly listeners = new Map<string, (message: string) => void>();
  private readonly outage: OutageLog;
  /**
   * What has failed, by connection: what was refused, or that there was no answer at all. Nobody need connect anew for it to be
   * over: a server that hung goes on.
   */
  private readonly failing = new Map<Redis, Map<RedisUse | 'answering', Failure>>();
  private readonly unansweredProbes = new Map<Redis, number>();
  private readonly probing = new PeriodicTask({ intervalMs: PROBE_INTERVAL_MS, round: () => this.probe() });

  constructor(
    config: Config,
    private readonly clock: Clock,
    @Inject(LOG) log: Log,
  ) {
    this.outage = new OutageLog(log, {
      begun:
        'Redis does not answer as it should: instances learn of revocations by the poll, and count limits each for itself',
      over: 'Redis is back',
    });
    if (config.redisUrl === undefined) return;
    const address = redisAddress(config.redisUrl, config.tls);
    this.client = this.connection(address);
    this.client.on('ready', () => (this.connected += 1));
    const subscriber = this.connection(address);
    // Anew with every connection: one that was made while Redis was lost knows of no channel.
    subscriber.on('ready', () => void this.listenTo(subscriber));
    subscriber.on('message', (channel: string, message: string) => this.listeners.get(channel)?.(message));
    this.subscriber = subscriber;
  }

  /** Gives Redis a moment to be there before the first request; the start does not depend on it. */
  async onModuleInit(): Promise<void> {
    if (!this.client) return;
    // What fails here has been reported by the connection itself, which goes on trying.
    const attempts = Promise.allSettled(this.connections.map((redis) => redis.connect()));
    // A server that takes connections and answers nothing would keep the start waiting for ever.
    await Promise.race([attempts, delay(2 * CONNECT_TIMEOUT_MS, undefined, { ref: false })]);
    this.probing.start();
  }

  onModuleDestroy(): void {
    this.probing.retire();
  }

  /** Closes the connections after what is under way has been sent. */
  async onApplicationShutdown(): Promise<void> {
    await this.probing.stop();
    await Promise.allSettled(this.connections.map((redis) => redis.quit()));
    for (const redis of this.connections) redis.disconnect();
  }

  /** Has `listener` called with every message of `channel`, as long as there is a connection. */
  subscribe(channel: string, listener: (message: string) => void): void {
    this.listeners.set(channel, listener);
    if (this.subscriber?.status === 'ready') void this.listenTo(this.subscriber);
  }

  /** Sends `message` to whoever listens. While Redis is lost nobody hears it, and nothing is thrown. */
  publish(channel: string, message: string): void {
    this.client?.publish(channel, message).then(
      () => this.reportSuccess('publishing'),
      (error: unknown) => this.reportLoss('publishing', error),
    );
  }

  /** The number of the connection for commands. Behind another one there may be another Redis, or one that has lost everything. */
  get connectionNumber(): number {
    return this.connected;
  }

  /** Whether it has just failed to count, or to answer anything: what waits for an answer does without it. */
  get isAvoided(): boolean {
    return this.clock.monotonic() < this.avoidedUntil;
  }

  /** Has it logged, once, that Redis does not do what was asked of it. */
  reportLoss(use: RedisUse, error: unknown): void {
    const failure = failureOf(use, error);
    if (failure !== 'publishing') this.avoidedUntil = this.clock.monotonic() + AVOIDED_MS;
    this.noteFailure(this.client, failure, error);
  }

  /** Has it logged that Redis is back, if nothing else fails that did before. */
  reportSuccess(use: RedisUse): void {
    this.noteSuccess(this.client, use);
  }

  private noteFailure(redis: Redis | undefined, what: RedisUse | 'answering', error: unknown): void {
    // What came before may be over, and nobody has asked since.
    this.tellIfOver();
    if (redis) this.failing.get(redis)?.set(what, { at: this.clock.monotonic(), doneSince: false });
    this.outage.failed(error);
  }

  private noteSuccess(redis: Redis | undefined, use: RedisUse | 'answering'): void {
    const failing = redis && this.failing.get(redis);
    // That a probe is answered does not mean that what is asked for will be.
    if (use !== 'answering') failing?.delete('answering');
    const failure = failing?.get(use);
    if (failure) failure.doneSince = true;
    this.tellIfOver();
  }

  private async probe(): Promise<void> {
    await Promise.all(this.connections.map((redis) => this.probeConnection(redis)));
  }

  /** One whose probes are not answered several times in a row is given up, and made anew. */
  private async probeConnection(redis: Redis): Promise<void> {
    if (redis.status !== 'ready') return;
    const answered = await (redis === this.subscriber ? this.listenTo(redis) : this.ping(redis));
    const unanswered = answered ? 0 : (this.unansweredProbes.get(redis) ?? 0) + 1;
    this.unansweredProbes.set(redis, unanswered);
    if (unanswered >= LOST_AFTER_PROBES) redis.stream.destroy();
  }

  private tellIfOver(): void {
    const settled = this.clock.monotonic() - SETTLED_MS;
    for (const failing of this.failing.values()) {
      for (const [what, { at, doneSince }] of failing) if (doneSince && at <= settled) failing.delete(what);
    }
    if ([...this.failing.values()].every(({ size }) => size === 0)) this.outage.succeeded();
  }

  private get connections(): Redis[] {
    return [this.client, this.subscriber].filter((redis) => redis !== undefined);
  }

  private connection([url, tls]: RedisAddress): Redis {
    const redis = new Redis(url, {
      ...tls,
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResubscribe: false,
      connectTimeout: CONNECT_TIMEOUT_MS,
      commandTimeout: COMMAND_TIMEOUT_MS,
      retryStrategy: () => RETRY_MS,
      // After a failover the address may lead to another server, while this connection still stands to the one that was demoted.
      // Before Redis 7 a script puts words of its own in front.
      reconnectOnError: ({ message }) => message.includes('READONLY'),
    });
    const failing = new Map<RedisUse | 'answering', Failure>();
    this.failing.set(redis, failing);
    redis.on('error', (error) => this.noteFailure(redis, 'answering', error));
    redis.on('ready', () => {
      // What was refused may be refused again.
      failing.delete('answering');
      this.unansweredProbes.delete(redis);
      this.tellIfOver();
    });
    return redis;
  }

  /** @returns whether it was answered */
  private async ping(redis: Redis): Promise<boolean> {
    try {
      await redis.ping();
    } catch (error) {
      // Whoever may not ask that is answered all the same.
      if (!(error instanceof ReplyError)) {
        this.noteFailure(redis, 'answering', error);
        return false;
      }
    }
    this.noteSuccess(redis, 'answering');
    return true;
  }

  /**
   * Asks for all channels, also for those that it listens to already, which changes nothing there.
   *
   * @returns whether it was answered
   */
  private async listenTo(subscriber: Redis): Promise<boolean> {
    if (this.listeners.size === 0) return this.ping(subscriber);
    try {
      await subscriber.subscribe(...this.listeners.keys());
      this.noteSuccess(subscriber, 'listening');
      return true;
    } catch (error) {
      this.noteFailure(subscriber, failureOf('listening', error), error);
      return error instanceof ReplyError;
    }
  }
}

/** A refusal is one of what was asked; anything else means that nobody answers. */
function failureOf(use: RedisUse, error: unknown): RedisUse | 'answering' {
  return error instanceof ReplyError ? use : 'answering';
}
