import { STATUS_CODES } from 'node:http';
import Negotiator from 'negotiator';
import { API_ERRORS, type ApiError, type ErrorCode } from './errors';

const JSON_TYPE = 'application/json';
const PROBLEM_TYPE = 'application/problem+json';

/** An error on its way out: everything the answer consists of. */
export interface ErrorResponse {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** What of the request shapes the answer. */
export interface ErrorContext {
  requestId: string;
  /** Header `Accept`. */
  accept?: string | undefined;
  /** Whether the request carried a Bearer token. */
  sentToken: boolean;
}

/** Where a token was the fault. A wrong password at login is none of the token that may have come with it. */
const TOKEN_FAULTS: ReadonlySet<ErrorCode> = new Set(['token_invalid', 'token_expired', 'token_revoked']);

/** Seconds after which a client may repeat what failed for our trouble. */
const RETRY_AFTER_SECONDS = 1;

/**
 * Puts an error into its public form: `{"error": …}` or, where the caller prefers it, RFC 9457 problem details.
 * The same status, code and headers either way.
 */
export function toErrorResponse(error: ApiError, context: ErrorContext): ErrorResponse {
  const { status, sentence } = API_ERRORS[error.code];
  const problem = prefersProblemDetails(context.accept);
  const headers: Record<string, string> = {
    'content-type': `${problem ? PROBLEM_TYPE : JSON_TYPE}; charset=utf-8`,
    'cache-control': 'no-store',
    'x-error-code': error.code,
    'x-request-id': context.requestId,
  };
  // RFC 9110 section 11.6.1 wants a challenge with every 401; RFC 6750 section 3.1 names the fault of a token only
  // where one was sent.
  if (status === 401) {
    const tokenFault = context.sentToken && TOKEN_FAULTS.has(error.code);
    headers['www-authenticate'] = tokenFault ? 'Bearer error="invalid_token"' : 'Bearer';
  }
  if (status === 503) headers['retry-after'] = String(RETRY_AFTER_SECONDS);
  Object.assign(headers, error.headers);

  const body = problem
    ? {
        type: 'about:blank',
        title: STATUS_CODES[status],
        status,
        detail: sentence,
        code: error.code,
        requestId: context.requestId,
        ...(error.details && { errors: error.details }),
      }
    : { error: sentence, ...(error.details && { details: error.details }) };
  return { status, headers, body: JSON.stringify(body) };
}

/** Longest `Accept` that is read, in characters: working through sixteen kilobytes of it takes longer than any other answer. */
export const LONGEST_ACCEPT = 512;

/** RFC 9110 section 12.5.1. Plain JSON unless the caller ranks problem details higher; never a 406. */
function prefersProblemDetails(accept: string | undefined): boolean {
  if (accept === undefined || accept.length > LONGEST_ACCEPT || !/problem\+json/i.test(accept)) return false;
  return new Negotiator({ headers: { accept } }).mediaType([JSON_TYPE, PROBLEM_TYPE]) === PROBLEM_TYPE;
}
