import {
  Inject,
  Injectable,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Clock } from '../core/clock';
import { ApiError } from '../core/errors';
import { addSeconds } from '../core/instant';
import { LOG, type Log } from '../core/log';
import { OutageLog } from '../core/outage-log';
import { Metrics } from '../core/metrics';
import { PeriodicTask } from '../core/periodic-task';
import { isReadOnly } from '../database/failures';
import { afterCommit, LONGEST_TRANSACTION_MS, Transactions } from '../database/transactions';
import { ClockKeeper } from './clock-keeper';
import { RevocationChannel } from './revocation-channel';
import type { RevocationEntry, RevocationLine, RevocationSubject } from './revocation-entry.entity';
import { PAGE_SIZE, readPage, readStanding, type Standing, type Stretch } from './revocation-lines';

/** Milliseconds from the end of one poll to the beginning of the next. */
export const POLL_INTERVAL_MS = 300;

/** A poll that began longer ago than this proves nothing any more. With it, every instance knows within a second. */
const FRESHNESS_BOUND_MS = 900;

/**
 * How long lines are read again. A line's position is given at insertion, its commit may come as much later as a
 * transaction may last; the rest is for a commit that was on its way when the time was up.
 */
const OVERLAP_MS = 3 * LONGEST_TRANSACTION_MS;

/** How often entries are dropped that concern nothing valid any more. */
const SWEEP_INTERVAL_MS = 10_000;

/** Something revoked or changed, and when nothing that it concerns can be valid any more. */
export interface Revocation {
  id: string;
  expiresAt: Date;
}

/** Lines that one statement writes. */
const LINES_AT_ONCE = 1_000;

/** Seconds for which the end of something is still told after it has come: much more than two kept clocks differ by. */
const TOLD_SECONDS = 60;

/** Before every end. */
const EVER = new Date(0);

/** As it was read, and by which clock. */
interface CheckedStanding extends Omit<Standing, 'time'> {
  /** Lines that ended before need not be read. */
  endingAfter: Date;
  /** Whether the clock that was gone by was found to be wrong. */
  clockMoved: boolean;
}

/** How far a poll had read, and when it was through. */
interface Mark {
  read: number;
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
  private readonly listeners: ((keyId: string) => void)[] = [];
  /** When the lines end that were read since the oldest mark, in milliseconds, by their positions. */
  private readonly seen = new Map<number, number>();
  private marks: Mark[] = [];
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

  /** Before anything is waited for, so that the rounds under way of all tasks end at the same time. */
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

  /** Milliseconds since the last successful poll began. */
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
    this.listeners.push(listener);
  }

  /**
   * Tells all instances, as part of the transaction that revokes. This one knows as soon as it has committed. Nothing
   * is told about what has not been valid for a while anyway, by a clock that may be believed.
   */
  async announce(tx: EntityManager, subject: RevocationSubject, revocations: Revocation[]): Promise<void> {
    const recently = addSeconds(this.clock.now(), -TOLD_SECONDS);
    const lines = revocations
      .filter(({ expiresAt }) => expiresAt > recently || !this.clock.isTrusted)
      .map(({ id, expiresAt }) => ({ subject, subjectId: id, expiresAt }));
    if (lines.length === 0) return;
    for (let first = 0; first < lines.length; first += LINES_AT_ONCE)
      await tx.insert<RevocationEntry>('RevocationEntry', lines.slice(first, first + LINES_AT_ONCE));
    afterCommit(tx, () => {
      for (const line of lines) this.learn(line);
      this.channel.send(lines);
    });
  }

  /** One round: reads what is new and what may have been committed late. Never throws; a failed round is made up for. */
  async poll(): Promise<void> {
    const begun = this.clock.monotonic();
    // Between two polls that are so far apart, a line may have come late that neither would read.
    if (begun - this.lastPoll > OVERLAP_MS - 2 * LONGEST_TRANSACTION_MS) this.readAnew();
    let position: number;
    try {
      position = await this.readNew(begun);
    } catch (error) {
      // The server may be another one afterwards, with other positions: everything is read anew.
      this.readAnew();
      this.serverIsReadOnly = error instanceof ApiError && isReadOnly(error.cause);
      this.outage.failed(error);
      return;
    }
    this.serverIsReadOnly = false;
    this.outage.succeeded();
    this.marks.push({ read: this.clock.monotonic(), position });
    this.lastPoll = begun;
    if (begun - this.lastSweep >= SWEEP_INTERVAL_MS) this.forgetExpired(begun);
  }

  /**
   * Learns what is new; everything, where the clock turns out to have been wrong: by it, lines may have been left out before.
   *
   * @returns how far the lines have been read
   */
  private async readNew(begun: number): Promise<number> {
    let from = this.rereadFrom(begun);
    let standing = await this.askStanding(from);
    if (standing.clockMoved) {
      this.readAnew();
      from = 0;
      standing = await this.askStanding(from);
    }
    const { count, endingAfter } = standing;
    const read = Math.max(from, this.newest);
    const upTo = Math.max(read, standing.newest);
    // Lines that were read are counted only: there may be a hundred thousand, and only where the number is another one has a
    // line been committed among them.
    const anyCommittedLate = count !== this.countSeen(from, endingAfter);
    await this.learnBetween({ from: anyCommittedLate ? from : read, upTo, endingAfter });
    return upTo;
  }

  /** How far the lines have been read. */
  private get newest(): number {
    return this.marks.at(-1)?.position ?? 0;
  }

  /** How the feed stands behind a position and, so that it costs no statement of its own, what time it is there. */
  private async askStanding(from: number): Promise<CheckedStanding> {
    const endingAfter = this.clock.isTrusted ? this.clock.now() : EVER;
    const read = { from, upTo: Math.max(from, this.newest), endingAfter };
    const asked = this.clock.monotonic();
    const { time, ...standing } = await this.transactions.read((tx) => readStanding(tx, read));
    const answered = this.clock.monotonic();
    const clockMoved = this.clocks.note({ said: time, asked, answered });
    return { ...standing, endingAfter, clockMoved };
  }

  /** Learns a stretch of lines page by page. */
  private async learnBetween({ from, upTo, endingAfter }: Stretch): Promise<void> {
    for (let position = from; position < upTo;) {
      const rest = { from: position, upTo, endingAfter };
      const lines = await this.transactions.read((tx) => readPage(tx, rest));
      for (const line of lines) this.learnOnce(line);
      position = lines.length < PAGE_SIZE ? upTo : Number(lines.at(-1)?.position);
    }
  }

  private countSeen(position: number, endingAfter: Date): number {
    let count = 0;
    for (const [seen, end] of this.seen) if (seen > position && end > endingAfter.getTime()) count += 1;
    return count;
  }

  /**
   * The position behind which everything is known: how far the newest of the polls had read that were through longer than
   * the overlap ago. Until there is one, everything that has not expired is read again.
   */
  private rereadFrom(now: number): number {
    while (this.marks[1] && this.marks[1].read <= now - OVERLAP_MS) this.marks.shift();
    const [oldest] = this.marks;
    if (!oldest || oldest.read > now - OVERLAP_MS) return 0;
    for (const position of this.seen.keys()) if (position <= oldest.position) this.seen.delete(position);
    return oldest.position;
  }

  private learnOnce(line: RevocationEntry): void {
    const position = Number(line.position);
    if (this.seen.has(position)) return;
    this.seen.set(position, line.expiresAt.getTime());
    this.learn(line);
  }

  private learn({ subject, subjectId, expiresAt }: RevocationLine): void {
    if (subject === 'api_key') {
      for (const listener of this.listeners) listener(subjectId);
      return;
    }
    const known = this.revokedSessions.get(subjectId) ?? 0;
    this.revokedSessions.set(subjectId, Math.max(known, expiresAt.getTime()));
  }

  private forgetExpired(begun: number): void {
    if (!this.clock.isTrusted) return;
    this.lastSweep = begun;
    const now = this.clock.now().getTime();
    for (const [sessionId, expiresAt] of this.revokedSessions) {
      if (expiresAt <= now) this.revokedSessions.delete(sessionId);
    }
  }

  private readAnew(): void {
    this.marks = [];
    this.seen.clear();
  }
}
