import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { AuditTrail } from '../audit/audit-trail';
import type { SecurityEvent } from '../audit/security-event';
import { Clock } from '../core/clock';
import { ApiError } from '../core/errors';
import type { Origin } from '../core/origin';
import { Transactions } from '../database/transactions';
import type { Principal } from './principal';

/** Whose credential it is. */
export type Holder = Pick<Principal, 'userId' | 'credential' | 'credentialId'>;

/** A good key from an address that it may not be used from. To its caller it looks like any key that does not work. */
export class AddressRefused extends ApiError {
  constructor(readonly holder: Holder) {
    super('api_key_invalid');
  }
}

/** Accounts, by type of event, of which it is remembered that what may be written of them in an hour is used up. */
const REMEMBERED_ACCOUNTS = 10_000;

/** Milliseconds for which that is taken for true: the oldest event may be an hour old at any moment. */
const REMEMBERED_MS = 60_000;

/** Writes down when somebody who is known is not let through (ASVS 16.3.2). */
@Injectable()
export class Refusals {
  /** When that was found. Without it, whoever holds any key has a row written and taken away with every call. */
  private readonly usedUp = new LRUCache<string, number>({ max: REMEMBERED_ACCOUNTS });

  constructor(
    private readonly transactions: Transactions,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
  ) {}

  /**
   * Records the refusal, if it is one. Outside of what was refused, which has been rolled back. Where the hour's events of the
   * account are used up, the database is not asked again for a minute.
   *
   * @throws ApiError `service_unavailable`: what cannot be written down is not answered
   */
  async note(error: unknown, holder: Holder | undefined, origin: Origin): Promise<void> {
    const event = error instanceof ApiError && holder && eventOf(error, holder);
    if (!event) return;
    const key = `${event.userId} ${event.type}`;
    const now = this.clock.monotonic();
    if (now < (this.usedUp.get(key) ?? -Infinity) + REMEMBERED_MS) return;
    const kept = await this.transactions.run((tx) => this.audit.recordBounded(tx, event, origin));
    if (!kept) this.usedUp.set(key, now);
  }
}

function eventOf(error: ApiError, holder: Holder): SecurityEvent | undefined {
  const { userId, credential, credentialId } = holder;
  const actor = credential === 'session' ? { sessionId: credentialId } : { keyId: credentialId };
  if (error instanceof AddressRefused) {
    return { type: 'access_refused', userId, reason: 'address_not_allowed', ...actor };
  }
  switch (error.code) {
    case 'scope_missing':
    case 'scope_not_held':
    case 'session_required':
    case 'api_key_required':
    case 'recent_login_required':
      return { type: 'access_refused', userId, reason: error.code, ...actor };
    case 'current_password_wrong':
      return { type: 'password_rejected', userId, sessionId: credentialId };
    default:
      return undefined;
  }
}
