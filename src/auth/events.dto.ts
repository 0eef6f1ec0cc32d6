import { applyDecorators } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { ValidateBy } from 'class-validator';
import type { AuditEventRow } from '../audit/audit-event.entity';
import { SECURITY_EVENT_TYPES } from '../audit/security-event';
import { ApiInstant, MayBeAbsent } from '../core/field-rules';
import { formatInstant } from '../core/instant';
import { decodeCursor } from './event-cursor';

/** Events on a page, at most, and unless asked otherwise. */
const LONGEST_PAGE = 100;
export const DEFAULT_PAGE = 50;

/** A whole number from 1 to `most`, in the plain digits of a query. */
const IsCountUpTo = (most: number) =>
  ValidateBy({
    name: 'isCount',
    validator: {
      validate: (value) => typeof value === 'string' && /^[1-9]\d{0,5}$/.test(value) && Number(value) <= most,
      defaultMessage: () => `$property must be a whole number from 1 to ${most}`,
    },
  });

const IsCursor = () =>
  applyDecorators(
    ValidateBy({
      name: 'isCursor',
      validator: {
        validate: (value) => typeof value === 'string' && decodeCursor(value) !== undefined,
        defaultMessage: () => '$property must be the nextCursor of an earlier answer',
      },
    }),
    ApiProperty({ minLength: 22, maxLength: 22, pattern: '^[\\w-]{22}$' }),
  );

/** Which page is asked for. */
export class EventsQuery {
  /** Where to go on: `nextCursor` of the page before. Left out, the newest events. */
  @MayBeAbsent()
  @IsCursor()
  cursor?: string;

  /** How many events at most. */
  @MayBeAbsent()
  @IsCountUpTo(LONGEST_PAGE)
  @ApiProperty({ type: 'integer', minimum: 1, maximum: LONGEST_PAGE, default: DEFAULT_PAGE })
  limit?: string;
}

/** One thing that happened to the account. */
export class AccountEvent {
  /**
   * Names the event.
   * @example evt_01k9v3cgm3e9bt4q8s6v1x2ykz
   */
  eventId: string;

  /**
   * What happened. A later release may know more types, so let unknown ones pass.
   * @example signed_in
   */
  @ApiProperty({ enum: SECURITY_EVENT_TYPES })
  type: string;

  /**
   * A word that says more, for the types that have one, as `wrong_password` for `sign_in_failed`. For `signed_in`: `new_device`
   * without a device token of an earlier sign-in, `after_failures` when attempts in a row had failed before it on that device,
   * `new_device_after_failures` when both are so.
   */
  @ApiProperty({ example: 'new_device' })
  reason: string | null;

  /**
   * When, RFC 3339, UTC.
   * @example 2026-11-23T10:00:00Z
   */
  @ApiInstant()
  at: string;

  /**
   * The address it came from; `command line` for what an operator did.
   * @example 203.0.113.7
   */
  ip: string;

  /**
   * The client, as it calls itself.
   * @example 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
   */
  userAgent: string | null;

  /**
   * The session that acted or was acted on, if it was one.
   * @example sess_01k9v3cgkze8ya3n7r5t9w1xhd
   */
  sessionId: string | null;

  /**
   * The API key that acted or was acted on, if it was one.
   */
  @ApiProperty({ example: null })
  keyId: string | null;

  /**
   * The request, as its answer's `X-Request-Id` named it.
   * @example req_01k9v3cgkye9s8m2p4q6r8t0vw
   */
  requestId: string;
}

export class EventsPage {
  /** Newest first. */
  items: AccountEvent[];

  /**
   * Send it as `cursor` for the events before these; `null`: there are none.
   * @example AZql5mUjcdeDKdZDVd8FzQ
   */
  nextCursor: string | null;
}

export function toAccountEvent(row: AuditEventRow): AccountEvent {
  const { id: eventId, type, reason, ip, userAgent, credentialId, requestId } = row;
  return {
    ...{ eventId, type, reason, at: formatInstant(row.occurredAt), ip, userAgent },
    sessionId: credentialId?.startsWith('sess_') ? credentialId : null,
    keyId: credentialId?.startsWith('key_') ? credentialId : null,
    requestId,
  };
}
