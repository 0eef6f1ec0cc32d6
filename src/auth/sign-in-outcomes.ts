import { Injectable } from '@nestjs/common';
import { ApiError, type ErrorCode } from '../core/errors';
import { Metrics } from '../core/metrics';
import type { RefreshOutcome } from '../sessions/session-rotation';

/** What a login or refresh ends with, as exported before any has. */
const LOGINS = [
  ...['succeeded', 'invalid_credentials', 'user_not_found', 'account_disabled', 'rate_limited'],
  ...['service_unavailable', 'overloaded', 'internal_error'],
];
const REFRESHES: RefreshOutcome['kind'][] = ['granted', 'refused', 'reused'];

/** Counts how logins and refreshes end. */
@Injectable()
export class SignInOutcomes {
  constructor(private readonly metrics: Metrics) {
    for (const outcome of LOGINS) metrics.count('latchkey_logins_total', { outcome }, 0);
    for (const outcome of REFRESHES) metrics.count('latchkey_refreshes_total', { outcome }, 0);
  }

  /** Counts the login once it has ended. */
  async ofLogin<T>(login: Promise<T>): Promise<T> {
    try {
      const result = await login;
      this.metrics.count('latchkey_logins_total', { outcome: 'succeeded' });
      return result;
    } catch (error) {
      this.metrics.count('latchkey_logins_total', { outcome: codeOf(error) });
      throw error;
    }
  }

  /** Counts the refresh once it has ended. */
  async ofRefresh(refresh: Promise<RefreshOutcome>): Promise<RefreshOutcome> {
    try {
      const outcome = await refresh;
      this.metrics.count('latchkey_refreshes_total', { outcome: outcome.kind });
      return outcome;
    } catch (error) {
      this.metrics.count('latchkey_refreshes_total', { outcome: codeOf(error) });
      throw error;
    }
  }
}

function codeOf(error: unknown): ErrorCode {
  return error instanceof ApiError ? error.code : 'internal_error';
}
