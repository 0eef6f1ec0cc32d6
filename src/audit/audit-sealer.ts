import { Inject, Injectable, type OnApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Clock } from '../core/clock';
import { Failpoints } from '../core/failpoints';
import { Ids } from '../core/ids';
import { addSeconds } from '../core/instant';
import { LOG, type Log } from '../core/log';
import { OutageLog } from '../core/outage-log';
import { PeriodicTask } from '../core/periodic-task';
import { Random } from '../core/random';
import { withPartOfBudget } from '../core/request-budget';
import { execute } from '../database/sql';
import { afterCommit, Transactions } from '../database/transactions';
import {
  blankDetails,
  blankEvents,
  CHAIN,
  deletedAmong,
  readHead,
  readUnsealed,
  type StoredEvent,
} from './chained-events';
import { EventSeal, type Finding, type Head } from './event-seal';

const INTERVAL_MS = 1_000;

/** Events per transaction, so that on SQLite nobody waits behind it for more than some milliseconds. */
export const BATCH_SIZE = 25;

/** Seconds after which another instance takes the place of one that has stopped without a word. */
export const LEASE_SECONDS = 10;

/**
 * Milliseconds that a stop may spend on sealing what its last moments brought, and on its lease, and after which it begins no
 * further batch.
 */
const LAST_SEALING_MS = 1_000;
const LAST_BATCH_BEFORE_MS = 700;

const SALT_BYTES = 16;

/**
 * Puts recorded events into the chain, in batches behind the requests' backs, so that no login waits for the one row that
 * knows the chain's head. Of several instances one does it at a time: who holds the lease.
 *
 * The lease only spares the others the work. That the chain cannot fork is the doing of that row's lock, which every batch
 * takes first, so a clock that is wrong does no harm.
 *
 * It also erases the details of deleted accounts, some of them with each batch. A deletion is sealed only once its account's
 * details are erased, so a sealer that takes over finds an unfinished erasure as an unsealed deletion.
 */
@Injectable()
export class AuditSealer implements OnApplicationShutdown, OnModuleDestroy {
  private readonly holder: string;
  private readonly sealing = new PeriodicTask({ intervalMs: INTERVAL_MS, round: () => this.round() });
  private started = false;
  /** On the clock that measures spans. */
  private deadline = Infinity;
  /** How far the details of deleted accounts are gone, by the deletion that waits for it. A fresh sealer begins anew. */
  private readonly blankedUpTo = new Map<string, string>();
  /** The deletion that had its turn last, if it is not done with. */
  private lastDeletion = '';
  /** Whether there may be a lease to hand back. */
  private holding = false;
  private readonly outage: OutageLog;

  constructor(
    private readonly transactions: Transactions,
    private readonly seal: EventSeal,
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly failpoints: Failpoints,
    @Inject(LOG) private readonly log: Log,
    ids: Ids,
  ) {
    this.outage = new OutageLog(log, {
      begun: 'The audit trail cannot be sealed; it is tried again',
      over: 'The audit trail is sealed again',
    });
    this.holder = ids.next('seal');
  }

  /** Begins to seal once a second. Told by the server: an operator's command looks and does not touch. */
  start(): void {
    this.started = true;
    this.sealing.start();
  }

  onModuleDestroy(): void {
    this.deadline = this.clock.monotonic();
    this.sealing.retire();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.sealing.stop();
    this.deadline = this.clock.monotonic() + LAST_BATCH_BEFORE_MS;
    await withPartOfBudget(LAST_SEALING_MS, async () => {
      // Whoever copies the database of a service that was stopped finds nothing waiting, unless the database has failed already.
      if (this.started && !this.outage.isFailing) await this.round();
      this.started = false;
      if (this.holding) await this.handBackLease();
    });
  }

  /**
   * Seals what is there to be sealed, if nobody else is at it. Opens its own transactions.
   *
   * @returns how many events were sealed
   * @throws ApiError `service_unavailable`
   */
  async sealAll(): Promise<number> {
    const waiting = await this.transactions.read((tx) => readUnsealed(tx, '', 1));
    if (waiting.length === 0 || !(await this.takeLease())) return 0;
    await this.failpoints.reach('seal:lease_taken');
    let total = 0;
    for (;;) {
      const { sealed, more } = await this.transactions.run((tx) => this.sealBatch(tx));
      await this.failpoints.reach('seal:committed');
      total += sealed;
      if (!more || this.clock.monotonic() > this.deadline) return total;
    }
  }

  /** What failed is made up for by the next round: whatever has no place yet is found again. */
  private async round(): Promise<void> {
    try {
      await this.sealAll();
      this.outage.succeeded();
    } catch (error) {
      this.outage.failed(error);
    }
  }

  /** A lease that ends later than anybody could have asked for comes from a clock that was wrong, and does not count. */
  private async takeLease(): Promise<boolean> {
    const now = this.clock.now();
    const end = addSeconds(now, LEASE_SECONDS);
    const matched = await this.transactions.statement((tx) =>
      execute(
        tx,
        `UPDATE audit_chain SET holder = ?, lease_ends_at = ?
         WHERE name = ? AND (holder = ? OR lease_ends_at <= ? OR lease_ends_at > ?)`,
        [this.holder, end, CHAIN, this.holder, now, end],
      ),
    );
    this.holding ||= matched === 1;
    return matched === 1;
  }

  /** So that nobody waits for it to lapse after a clean stop. When that fails, it lapses. */
  private async handBackLease(): Promise<void> {
    try {
      await this.transactions.statement((tx) =>
        execute(tx, 'UPDATE audit_chain SET lease_ends_at = ? WHERE name = ? AND holder = ?', [
          this.clock.now(),
          CHAIN,
          this.holder,
        ]),
      );
    } catch (error) {
      this.log.debug({ err: error }, 'The lease of the audit trail could not be handed back');
    }
  }

  /** Under the lock of the chain's row. Nothing, when the lease was lost. */
  private async sealBatch(tx: EntityManager): Promise<{ sealed: number; more: boolean }> {
    const held = await execute(tx, 'UPDATE audit_chain SET lease_ends_at = ? WHERE name = ? AND holder = ?', [
      addSeconds(this.clock.now(), LEASE_SECONDS),
      CHAIN,
      this.holder,
    ]);
    if (held !== 1) return { sealed: 0, more: false };
    const events = await readUnsealed(tx, '', BATCH_SIZE, 'others');
    const full = events.length === BATCH_SIZE;
    // What waits for its seal goes first, so that an account with very many events holds up nobody.
    const deletion = full ? undefined : await this.nextDeletion(tx);
    if (deletion && (await this.eraseNextDetails(tx, deletion))) events.push(deletion);
    await this.sealAndBlank(tx, events);
    return { sealed: events.length, more: full || deletion !== undefined };
  }

  private async sealAndBlank(tx: EntityManager, events: StoredEvent[]): Promise<void> {
    let head = await readHead(tx);
    for (const event of events) head = await this.append(tx, head, event);
    await this.failpoints.reach('seal:rows_sealed');
    await execute(tx, 'UPDATE audit_chain SET sequence = ?, link = ? WHERE name = ?', [
      head.sequence,
      head.link,
      CHAIN,
    ]);
    const gone = await deletedAmong(
      tx,
      events.map(({ userId }) => userId),
    );
    await blankEvents(
      tx,
      events.filter(({ userId }) => gone.has(userId)),
    );
  }

  /** Those that wait take turns, so that one of them holds up no other. */
  private async nextDeletion(tx: EntityManager): Promise<StoredEvent | undefined> {
    const [next] = await readUnsealed(tx, this.lastDeletion, 1, 'deletions');
    const deletion =
      next ?? (this.lastDeletion === '' ? undefined : (await readUnsealed(tx, '', 1, 'deletions'))[0]);
    if (!deletion) afterCommit(tx, () => this.blankedUpTo.clear());
    return deletion;
  }

  /**
   * Erases some more details of the account that was deleted.
   *
   * @returns whether none are left
   */
  private async eraseNextDetails(tx: EntityManager, { id, userId }: StoredEvent): Promise<boolean> {
    // One that somebody slipped in takes nothing away.
    if (!(await deletedAmong(tx, [userId])).has(userId)) return true;
    const afterId = await blankDetails(tx, userId, this.blankedUpTo.get(id) ?? '');
    afterCommit(tx, () => {
      this.lastDeletion = afterId === undefined ? '' : id;
      if (afterId === undefined) this.blankedUpTo.delete(id);
      else this.blankedUpTo.set(id, afterId);
    });
    return afterId === undefined;
  }

  private async append(tx: EntityManager, head: Head, event: StoredEvent): Promise<Head> {
    const finding = this.judge(event);
    const digest = event.digest ?? (await this.adopt(tx, event));
    const sequence = head.sequence + 1;
    const link = this.seal.linkOf(head, event, digest, finding);
    const matched = await execute(
      tx,
      'UPDATE audit_events SET sequence = ?, link = ? WHERE id = ? AND sequence IS NULL',
      [sequence, link, event.id],
    );
    if (matched !== 1) throw new Error(`The event ${event.id} went away while it was being sealed`);
    return { sequence, link };
  }

  private judge(event: StoredEvent): Finding {
    if (event.digest === null) return 'adopted';
    if (event.salt !== null && this.seal.fits(event, event.salt, event.digest)) return 'recorded';
    this.log.error({ eventId: event.id }, 'An event of the audit trail was altered before it was sealed');
    return 'doubtful';
  }

  /** Gives an event of an older release the digest that it came without. */
  private async adopt(tx: EntityManager, event: StoredEvent): Promise<string> {
    const salt = this.random.bytes(SALT_BYTES).toString('hex');
    const digest = this.seal.digestOf(event, salt);
    await execute(tx, 'UPDATE audit_events SET salt = ?, digest = ? WHERE id = ?', [salt, digest, event.id]);
    return digest;
  }
}
