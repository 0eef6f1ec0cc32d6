import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Clock } from '../core/clock';
import { earliestId, Ids } from '../core/ids';
import { addSeconds } from '../core/instant';
import type { Origin } from '../core/origin';
import { Random } from '../core/random';
import { execute, type SqlValue } from '../database/sql';
import { blankDetails } from './chained-events';
import { type EventCore, type EventDetails, EventSeal } from './event-seal';
import type { SecurityEvent } from './security-event';

/** Events of one type, about one account, that `recordBounded` keeps in an hour. */
export const MOST_OF_AN_ACCOUNT = 20;

/** The same of those that are about no account. */
export const MOST_OF_NOBODY = 100;

const WINDOW_SECONDS = 3600;

/** What stands for the account of an event that is about none. */
const NOBODY = '';

const SALT_BYTES = 16;

/** Not TypeORM's own, which takes longer over each row than the engine does: every login waits for one. */
const INSERT = `INSERT INTO audit_events
  (id, occurred_at, type, reason, user_id, credential_id, ip, user_agent, request_id, salt, digest)`;

/** What is written of an event when it happens; sealing comes later. */
type Recorded = EventCore & EventDetails & { salt: string; digest: string };

/** Writes down what happened, in the transaction in which it happened: the one is never there without the other. */
@Injectable()
export class AuditTrail {
  constructor(
    private readonly clock: Clock,
    private readonly ids: Ids,
    private readonly random: Random,
    private readonly seal: EventSeal,
  ) {}

  /**
   * Records an event inside `tx`; `origin` is the request that caused it. `account_deleted` also erases the details of the oldest
   * events of the account, as many as there is time for; `AuditSealer` erases the rest before it seals the deletion.
   */
  async record(tx: EntityManager, event: SecurityEvent, origin: Origin): Promise<void> {
    await execute(
      tx,
      `${INSERT} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      valuesOf(this.toRow(event, origin)),
    );
    if (event.type === 'account_deleted') await blankDetails(tx, event.userId, '');
  }

  /** Records many events of one cause inside `tx`, in one statement. Not for deletions. */
  async recordAll(
    tx: EntityManager,
    events: Exclude<SecurityEvent, { type: 'account_deleted' }>[],
    origin: Origin,
  ): Promise<void> {
    if (events.length === 0) return;
    const values = events.map((event) => valuesOf(this.toRow(event, origin)));
    const places = values.map(() => '(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)').join(', ');
    await execute(tx, `${INSERT} VALUES ${places}`, values.flat());
  }

  /**
   * Records an event that somebody can cause as often as he likes: so many an hour and type, of an account or about nobody, and a few
   * more at the same moment. The time must not tell whether the account exists, so the work is the same either way: one too many is
   * inserted under no type and deleted again inside `tx`, and both counts, the account's and that of nobody, are always taken. Counted in
   * the INSERT, which reads without locks where a DELETE would not.
   *
   * @returns whether it was kept: not, where as many of the hour are there already
   */
  async recordBounded(tx: EntityManager, event: SecurityEvent, origin: Origin): Promise<boolean> {
    const row = this.toRow(event, origin);
    const since = earliestId('evt', addSeconds(row.occurredAt, -WINDOW_SECONDS));
    const [id, occurredAt, ...values] = valuesOf(row) as [SqlValue, SqlValue, ...SqlValue[]];
    const isNobodys = row.userId === NOBODY;
    await execute(
      tx,
      `${INSERT} SELECT ?, ?,
         CASE WHEN (SELECT COUNT(*) FROM audit_events WHERE user_id = ? AND id > ? AND type = ?) < ?
           AND (SELECT COUNT(*) FROM audit_events WHERE user_id = ? AND id > ? AND type = ?) < ? THEN ? ELSE '' END,
         ?, ?, ?, ?, ?, ?, ?, ? FROM (SELECT 1 AS one) AS once`,
      [
        ...[id, occurredAt],
        ...[NOBODY, since, row.type, isNobodys ? MOST_OF_NOBODY : Number.MAX_SAFE_INTEGER],
        // No account has the id of an event.
        ...[isNobodys ? row.id : row.userId, since, row.type, MOST_OF_AN_ACCOUNT],
        ...values,
      ],
    );
    return (await execute(tx, "DELETE FROM audit_events WHERE id = ? AND type = ''", [row.id])) === 0;
  }

  private toRow(event: SecurityEvent, { ip, userAgent, requestId }: Origin): Recorded {
    const row = {
      id: this.ids.next('evt'),
      occurredAt: this.clock.now(),
      type: event.type,
      reason: 'reason' in event ? (event.reason ?? null) : null,
      userId: event.userId ?? NOBODY,
      credentialId: credentialOf(event),
      ip,
      userAgent,
      requestId,
    };
    const salt = this.random.bytes(SALT_BYTES).toString('hex');
    return { ...row, salt, digest: this.seal.digestOf(row, salt) };
  }
}

function credentialOf(event: SecurityEvent): string | null {
  if ('sessionId' in event) return event.sessionId;
  return 'keyId' in event ? event.keyId : null;
}

/** In the order of `INSERT`. */
function valuesOf(row: Recorded): SqlValue[] {
  return [
    ...[row.id, row.occurredAt, row.type, row.reason, row.userId, row.credentialId],
    ...[row.ip, row.userAgent, row.requestId, row.salt, row.digest],
  ];
}
