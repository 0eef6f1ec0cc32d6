/** One kind of failure as its caller sees it. The internal detail goes to the log and is never part of this. */
export interface ErrorDefinition {
  /** HTTP status. */
  status: number;
  /** The public sentence: the value of `error` in the body. Part of the contract. */
  sentence: string;
  /** When it happens, for the API document. */
  when: string;
}

/**
 * Everything that can go wrong, in one list. The keys are the stable machine codes of the header `X-Error-Code`.
 */
export const API_ERRORS = {
  validation_failed: {
    status: 400,
    sentence: 'The request is not valid',
    when: 'A field is missing, unknown, of the wrong type or out of its bounds; `details` names each.',
  },
  malformed_json: {
    status: 400,
    sentence: 'The request body is not valid JSON',
    when: 'The body is not well-formed JSON in UTF-8, begins with a byte order mark, or names a member twice.',
  },
  json_too_complex: {
    status: 400,
    sentence: 'The request body is nested too deeply or holds too many values',
    when: 'The body has more than 8 levels or more than 256 commas or, as a form, more than 64 fields.',
  },
  bad_request: {
    status: 400,
    sentence: 'The request is malformed',
    when: 'The request cannot be understood as HTTP.',
  },
  ambiguous_credentials: {
    status: 400,
    sentence: 'Send one credential, a Bearer token or an API key',
    when: 'The request carries both an `Authorization` and an `X-API-Key` header, or one of them twice.',
  },
  authentication_required: {
    status: 401,
    sentence: 'Authentication required',
    when: 'No credential was sent; at `/auth/verify` also when two were sent.',
  },
  token_invalid: {
    status: 401,
    sentence: 'Authentication required',
    when: 'The access token is not one that this service issued, or the key that signs them has been changed. Refresh once; if that fails, sign in again.',
  },
  token_expired: {
    status: 401,
    sentence: 'Authentication required',
    when: 'The access token has expired. Refresh it.',
  },
  token_revoked: {
    status: 401,
    sentence: 'Authentication required',
    when: 'The session of the access token has ended. Sign in again.',
  },
  api_key_invalid: {
    status: 401,
    sentence: 'Authentication required',
    when: 'The API key does not work: unknown, expired, disabled, reported, or used from an address that is not allowed.',
  },
  invalid_credentials: {
    status: 401,
    sentence: 'Invalid credentials',
    when: 'The password is wrong; with `LOGIN_ERRORS=uniform` also when there is no such user.',
  },
  user_not_found: {
    status: 401,
    sentence: 'User not found',
    when: 'There is no user of that name; never with `LOGIN_ERRORS=uniform`.',
  },
  refresh_token_invalid: {
    status: 401,
    sentence: 'Invalid or expired refresh token',
    when: 'The refresh token is forged, expired, already replaced, or its session has ended. Sign in again.',
  },
  account_disabled: {
    status: 403,
    sentence: 'Account disabled',
    when: 'The password is right, and an operator has disabled the account.',
  },
  current_password_wrong: {
    status: 403,
    sentence: 'Current password is wrong',
    when: 'The password given as proof is not the current one.',
  },
  session_required: {
    status: 403,
    sentence: 'This operation needs a signed-in user',
    when: 'An API key was used; keys never sign in and never manage keys, sessions, passwords or accounts.',
  },
  api_key_required: {
    status: 403,
    sentence: 'This operation needs an API key',
    when: 'An access token was used where only an API key is accepted.',
  },
  scope_missing: {
    status: 403,
    sentence: 'The credential lacks a required scope',
    when: 'The credential does not hold a scope that this operation needs, or that was asked for.',
  },
  scope_not_held: {
    status: 403,
    sentence: 'A key cannot hold a scope that its owner lacks',
    when: 'A scope was asked for that the account itself does not have.',
  },
  recent_login_required: {
    status: 403,
    sentence: 'A recent sign-in is required',
    when: 'The sign-in of this session is older than `STEP_UP_MAX_AGE`. Sign in again, then repeat the call.',
  },
  registration_closed: {
    status: 403,
    sentence: 'Registration is closed',
    when: 'The operator has set `REGISTRATION=closed`.',
  },
  not_found: { status: 404, sentence: 'Not found', when: 'There is no such path.' },
  session_not_found: {
    status: 404,
    sentence: 'Session not found',
    when: 'The account has no session of that id, or it has ended.',
  },
  api_key_not_found: {
    status: 404,
    sentence: 'API key not found',
    when: 'The account has no key of that id.',
  },
  method_not_allowed: {
    status: 405,
    sentence: 'Method not allowed',
    when: 'The path exists but does not take this method; `Allow` lists those that it takes.',
  },
  request_timeout: {
    status: 408,
    sentence: 'The request took too long to arrive',
    when: 'Headers or body came too slowly.',
  },
  username_taken: {
    status: 409,
    sentence: 'Username already taken',
    when: 'Another account has that user name, compared without regard to case.',
  },
  email_taken: {
    status: 409,
    sentence: 'Email already in use',
    when: 'Another account has that e-mail address, compared without regard to case.',
  },
  api_key_limit_reached: {
    status: 409,
    sentence: 'API key limit reached',
    when: 'The account has 100 keys. Delete one first.',
  },
  api_key_reported: {
    status: 409,
    sentence: 'The API key was reported as found, rotate it',
    when: 'Somebody has reported the secret of this key as found. The key works again only after a rotation.',
  },
  payload_too_large: {
    status: 413,
    sentence: 'The request body is too large',
    when: 'The body is larger than 64 KiB.',
  },
  uri_too_long: { status: 414, sentence: 'The request target is too long', when: 'The path is too long.' },
  unsupported_media_type: {
    status: 415,
    sentence: 'Unsupported media type, send application/json',
    when: 'The body is not declared as `application/json`, or as a form where the operation reads one.',
  },
  rate_limited: {
    status: 429,
    sentence: 'Too many requests',
    when: 'A limit is reached; `RateLimit-Policy` says which. Repeat after `Retry-After` seconds.',
  },
  headers_too_large: {
    status: 431,
    sentence: 'The request headers are too large',
    when: 'The header section is larger than 16 KiB.',
  },
  internal_error: {
    status: 500,
    sentence: 'Internal server error',
    when: 'A defect of the service. The log has the request id.',
  },
  service_unavailable: {
    status: 503,
    sentence: 'Service temporarily unavailable',
    when: 'The database cannot be reached or is overloaded. Keep your tokens and repeat after `Retry-After` seconds.',
  },
  draining: {
    status: 503,
    sentence: 'Not ready: the service is stopping',
    when: 'The service has been told to stop. Send requests to another instance.',
  },
  database_unreachable: {
    status: 503,
    sentence: 'Not ready: the database does not answer',
    when: 'The database cannot be reached, fails, or takes longer than a second to answer.',
  },
  database_read_only: {
    status: 503,
    sentence: 'Not ready: the database can only be read',
    when: 'The database server takes no writes (`read_only`), such as a former primary that has been replaced.',
  },
  migrations_pending: {
    status: 503,
    sentence: 'Not ready: the database schema is older than the service',
    when: 'Migrations of this release are missing from the database, as after a restore. Start the service again.',
  },
  revocation_feed_stale: {
    status: 503,
    sentence: 'Not ready: the revocation feed cannot be read',
    when: 'What was revoked elsewhere has not been read for five seconds; each request asks the database.',
  },
  clock_astray: {
    status: 503,
    sentence: "Not ready: the clock and the database's are too far apart",
    when: 'They differ by more than ten minutes, too much to be corrected. Set whichever is wrong.',
  },
  overloaded: {
    status: 503,
    sentence: 'Service temporarily unavailable',
    when: 'Too many passwords are waiting to be verified. Repeat after `Retry-After` seconds.',
  },
} as const satisfies Record<string, ErrorDefinition>;

/** A stable machine code, as in the header `X-Error-Code`. */
export type ErrorCode = keyof typeof API_ERRORS;

/** The codes of what is the caller's doing: every status of 4xx. */
export const REFUSALS = (Object.keys(API_ERRORS) as ErrorCode[]).filter(
  (code) => API_ERRORS[code].status < 500,
);

/** Every rule that a field can break. Part of the contract, like the codes. */
export const FIELD_RULES = [
  'arrayMaxSize',
  'arrayNotEmpty',
  'arrayUnique',
  'canonicalLength',
  'equals',
  'isAddress',
  'isAddressRange',
  'isArray',
  'isBoolean',
  'isCount',
  'isCursor',
  'isEmail',
  'isFuture',
  'isIdempotencyKey',
  'isInstant',
  'isInt',
  'isNotBreached',
  'isNotCommon',
  'isNotPersonal',
  'isObject',
  'isString',
  'isVisible',
  'isWellFormed',
  'matches',
  'max',
  'maxCharacters',
  'maxFields',
  'min',
  'minCharacters',
  'unknownField',
] as const;

export type FieldRule = (typeof FIELD_RULES)[number];

/** One fault of one field: what `details` of a 400 holds. */
export interface FieldFault {
  /** Name of the field, parameter or header. */
  field: string;
  /** Name of the rule it broke, stable. */
  rule: FieldRule;
  /** The rule as a sentence. */
  message: string;
}

export interface ApiErrorOptions {
  /** The faults of a `validation_failed`. */
  details?: FieldFault[];
  /** Headers of the answer beside those that every error has. */
  headers?: Record<string, string>;
  /** What went wrong underneath; for the log only. */
  cause?: unknown;
}

/** A failure on its way to the caller. Thrown anywhere, answered by one filter. */
export class ApiError extends Error {
  readonly details: FieldFault[] | undefined;
  readonly headers: Record<string, string>;

  constructor(
    readonly code: ErrorCode,
    options: ApiErrorOptions = {},
  ) {
    super(API_ERRORS[code].sentence, { cause: options.cause });
    this.name = 'ApiError';
    this.details = options.details;
    this.headers = options.headers ?? {};
  }

  get status(): number {
    return API_ERRORS[this.code].status;
  }
}

/** A 400 that names one field. */
export function fieldError(field: string, rule: FieldRule, message: string): ApiError {
  return new ApiError('validation_failed', { details: [{ field, rule, message }] });
}
