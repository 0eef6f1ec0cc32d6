import {
  Inject,
  Injectable,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { Clock } from '../core/clock';
import { ApiError } from '../core/errors';
import { LOG, type Log } from '../core/log';
import { OutageLog } from '../core/outage-log';
import { Metrics } from '../core/metrics';
import { PeriodicTask } from '../core/periodic-task';
import { isReadOnly } from '../database/failures';
import { Transactions } from '../database/transactions';
import { ClockKeeper } from './clock-keeper';
import { ReadWindow } from './read-window';
import { RevocationChannel } from './revocation-channel';
import type { RevocationEntry, RevocationLine } from './revocation-entry.entity';
import { EVER, PAGE_SIZE, readNextPage, readPage, readStanding, type Stretch } from './revocation-lines';

/** Milliseconds from the end of one poll to the beginning of the next. */
export const POLL_INTERVAL_MS = 300;

/** A poll that asked longer ago than this proves nothing any more. With it, every instance knows within a second. */
const FRESHNESS_BOUND_MS = 900;

/** How often entries are dropped that concern nothing valid any more. */
const SWEEP_INTERVAL_MS = 10_000;

/** How often a poll begins anew because its clock has moved: a slow answer moves it by a part only, and the next one by the rest. */
const MOST_MOVES = 3;

/** What a poll reads first. */
interface FirstPage {
  /** All that is to be read. */
  stretch: Stretch;
  lines: RevocationEntry[];
  /** When the database was asked, monotonic milliseconds: after the wait for a connection, which says nothing of what is known. */
  asked: number;
  /** Whether the clock by which lines were left out was found to be wrong. */
  clockMoved: boolean;
}

/** When a poll had asked the database, and how far it had read. */
interface Learned {
  asked: number;
  position: number;
}

/**
 * What has been revoked lately, held in memory, so that a request need not ask the database. This instance's own
 * revocations are known at once; those of others through a poll, and where there is Redis without waiting for it.
 *
 * Whether it may be relied on is decided by this instance's own monotonic clock alone.
 */
@Injectable()
export class RevocationFeed implements OnModuleInit, OnModuleDestroy, OnApplicationShutdown {
  private readonly revokedSessions = new Map<string, number>();
  private readonly keyListeners: ((keyId: string) => void)[] = [];
  private readonly gapListeners: (() => void)[] = [];
  private readonly window = new ReadWindow();
  private lastPoll = -Infinity;
  private lastSweep = -Infinity;
  private serverIsReadOnly = false;
  private readonly outage: OutageLog;
  private readonly polling = new PeriodicTask({ intervalMs: POLL_INTERVAL_MS, round: () => this.poll() });

  constructor(
    private readonly transactions: Transactions,
    private readonly channel: RevocationChannel,
    private readonly clocks: ClockKeeper,
    private readonly clock: Clock,
    @Inject(LOG) log: Log,
    metrics: Metrics,
  ) {
    this.outage = new OutageLog(log, {
      begun: 'The revocation feed cannot be read; each request asks the database',
      over: 'The revocation feed is read again',
    });
    metrics.gauge('latchkey_revocation_feed_age_seconds', {}, () => this.age / 1000);
  }

  /** Reads what is there before the first request is served. */
  async onModuleInit(): Promise<void> {
    this.channel.receive((line) => this.learn(line));
    await this.poll();
    this.polling.start();
  }

  onModuleDestroy(): void {
    this.polling.retire();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.polling.stop();
  }

  /** Whether the memory is recent enough to be relied on. */
  get isFresh(): boolean {
    return this.age <= FRESHNESS_BOUND_MS;
  }

  /** Milliseconds since the last successful poll asked the database. */
  get age(): number {
    return this.clock.monotonic() - this.lastPoll;
  }

  /** Whether the last poll has come to a database server that can only be read, and so has failed. */
  get isServerReadOnly(): boolean {
    return this.serverIsReadOnly;
  }

  /** How many revoked sessions are remembered. */
  get remembered(): number {
    return this.revokedSessions.size;
  }

  /** What is known of a session: `unknown` when the poll is late, and the database must be asked. */
  statusOf(sessionId: string): 'revoked' | 'live' | 'unknown' {
    if (this.revokedSessions.has(sessionId)) return 'revoked';
    return this.isFresh ? 'live' : 'unknown';
  }

  /** Has `listener` called with the id of every API key that was changed, here or elsewhere. */
  onKeyChange(listener: (keyId: string) => void): void {
    this.keyListeners.push(listener);
  }

  /**
   * Has `listener` called when changes of keys may have been missed: lines that have expired are left out, by a clock that was wrong, or
   * while the machine slept for longer than they last.
   */
  onGap(listener: () => void): void {
    this.gapListeners.push(listener);
  }

  /** Takes a line in, wherever it comes from. */
  learn({ subject, subjectId, expiresAt }: RevocationLine): void {
    if (subject === 'api_key') {
      for (const listener of this.keyListeners) listener(subjectId);
      return;
    }
    const known = this.revokedSessions.get(subjectId) ?? 0;
    this.revokedSessions.set(subjectId, Math.max(known, expiresAt.getTime()));
  }

  /** One round: reads what is new and what may have been committed late. Never throws; a failed round is made up for. */
  async poll(): Promise<void> {
    let learned: Learned;
    try {
      learned = await this.learnNew();
    } catch (error) {
      // The server may be another one afterwards, with other positions: everything is read anew.
      this.window.clear();
      this.serverIsReadOnly = error instanceof ApiError && isReadOnly(error.cause);
      this.outage.failed(error);
      return;
    }
    this.serverIsReadOnly = false;
    this.outage.succeeded();
    const { asked, position } = learned;
    this.window.advance({ asked, through: this.clock.monotonic(), position });
    this.lastPoll = asked;
    if (asked - this.lastSweep >= SWEEP_INTERVAL_MS) this.forgetExpired(asked);
  }

  /**
   * Learns what is new; everything, where the clock turns out to have been wrong: by it, lines may have been left out before.
   */
  private async learnNew(): Promise<Learned> {
    let first = await this.readFirst(this.window.settled);
    for (let moves = 0; first.clockMoved && moves < MOST_MOVES; moves += 1) {
      this.window.clear();
      first = await this.readFirst(0);
    }
    let { lines } = first;
    const { asked } = first;
    const { upTo, endingAfter } = first.stretch;
    this.learnUnseen(lines);
    while (lines.length === PAGE_SIZE) {
      const rest = { from: Number(lines.at(-1)?.position), upTo, endingAfter };
      lines = await this.transactions.readFirst((tx) => readNextPage(tx, rest));
      this.learnUnseen(lines);
    }
    return { asked, position: upTo };
  }

  /** In one unit of work, and so of one server, what time it is there, and the first page of what is to be read. */
  private readFirst(from: number): Promise<FirstPage> {
    const endingAfter = this.clock.isTrusted ? this.clock.now() : EVER;
    const { newest: known } = this.window;
    return this.transactions.readFirst(async (tx) => {
      const asked = this.clock.monotonic();
      const standing = await readStanding(tx, { from, upTo: known, endingAfter });
      const answered = this.clock.monotonic();
      const clockMoved = this.clocks.note({ said: standing.time, asked, answered });
      // At once: the clock is right from now on, and if the rest cannot be read, nobody will notice again.
      if (clockMoved) for (const listener of this.gapListeners) listener();
      // Lines that were read before are only counted, since there may be a hundred thousand. Another number means that one was
      // committed late.
      const anyCommittedLate = standing.count !== this.window.countSeen(from, endingAfter);
      const upTo = Math.max(known, standing.newest);
      const stretch = { from: anyCommittedLate ? from : known, upTo, endingAfter };
      const lines = stretch.from < upTo ? await readPage(tx, stretch) : [];
      return { stretch, lines, asked, clockMoved };
    });
  }

  private learnUnseen(lines: readonly RevocationEntry[]): void {
    for (const line of lines) if (this.window.add(line)) this.learn(line);
  }

  private forgetExpired(asked: number): void {
    if (!this.clock.isTrusted) return;
    this.lastSweep = asked;
    const now = this.clock.now().getTime();
    for (const [sessionId, expiresAt] of this.revokedSessions) {
      if (expiresAt <= now) this.revokedSessions.delete(sessionId);
    }
  }
}
