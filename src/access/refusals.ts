import { Injectable } from '@nestjs/common';
import { AuditTrail } from '../audit/audit-trail';
import type { SecurityEvent } from '../audit/security-event';
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

/** Writes down when somebody who is known is not let through (ASVS 16.3.2). */
@Injectable()
export class Refusals {
  constructor(
    private readonly transactions: Transactions,
    private readonly audit: AuditTrail,
  ) {}

  /**
   * Records the refusal, if it is one. Outside of what was refused, which has been rolled back.
   *
   * @throws ApiError `service_unavailable`: what cannot be written down is not answered
   */
  async note(error: unknown, holder: Holder | undefined, origin: Origin): Promise<void> {
    const event = error instanceof ApiError && holder && eventOf(error, holder);
    if (event) await this.transactions.run((tx) => this.audit.recordBounded(tx, event, origin));
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
