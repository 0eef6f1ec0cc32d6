import { ApiError } from '../core/errors';
import type { LimitName } from './limits';

/** How much of what was too much, and when to come again. */
export interface Excess {
  name: LimitName;
  /** How many are allowed. */
  quota: number;
  /** In how many seconds. */
  seconds: number;
  /** Seconds after which the next one is let in. */
  retryAfter: number;
}

/** A 429 with the fields of draft-ietf-httpapi-ratelimit-headers: structured fields (RFC 9651), lists of one item each. */
export function rateLimited({ name, quota, seconds, retryAfter }: Excess): ApiError {
  return new ApiError('rate_limited', {
    headers: {
      'retry-after': String(retryAfter),
      ratelimit: `"${name}";r=0;t=${retryAfter}`,
      'ratelimit-policy': `"${name}";q=${quota};w=${seconds}`,
    },
  });
}
