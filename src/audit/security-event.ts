/** The credential that acted or was acted on. */
type Credential = { sessionId: string } | { keyId: string };

/**
 * Everything the audit trail can tell. A closed list: what is not here is not recorded, and the reverse. Each has a row
 * in docs/operations.md; a test looks for it there, and for the place that records it.
 */
export type SecurityEvent =
  | { type: 'account_created'; userId: string; reason?: 'imported' }
  | { type: 'account_deleted'; userId: string; sessionId: string }
  | { type: 'account_deleted'; userId: string; reason: 'by_operator' }
  | { type: 'account_disabled'; userId: string }
  | { type: 'account_enabled'; userId: string }
  | { type: 'account_scopes_changed'; userId: string }
  | { type: 'profile_changed'; userId: string; sessionId: string }
  | { type: 'password_changed'; userId: string; sessionId: string }
  | { type: 'password_changed'; userId: string; reason: 'by_operator' }
  | { type: 'password_rejected'; userId: string; sessionId: string }
  /** A password was set although the breached-password service could not be asked. */
  | { type: 'breach_check_failed'; userId: string }
  | { type: 'signed_in'; userId: string; sessionId: string; reason?: UnusualSignIn }
  | { type: 'sign_in_failed'; userId: string; reason: 'wrong_password' | 'account_disabled' }
  | { type: 'sign_in_failed'; userId: null; reason: 'unknown_user' }
  | { type: 'signed_out'; userId: string; sessionId: string }
  | { type: 'session_ended'; userId: string; sessionId: string; reason?: 'session_limit' | 'by_operator' }
  | { type: 'sessions_ended'; userId: string; sessionId: string }
  | { type: 'sessions_ended'; userId: string; reason: 'by_operator' }
  | { type: 'refresh_token_reused'; userId: string; sessionId: string }
  | { type: 'limit_reached'; userId: string | null; reason: ReachedLimit }
  | { type: 'api_key_created'; userId: string; keyId: string }
  | { type: 'api_key_changed'; userId: string; keyId: string }
  | { type: 'api_key_enabled'; userId: string; keyId: string }
  | { type: 'api_key_disabled'; userId: string; keyId: string; reason?: 'by_operator' }
  | { type: 'api_key_rotated'; userId: string; keyId: string }
  | { type: 'api_key_reported'; userId: string; keyId: string }
  | { type: 'api_key_old_secret_reported'; userId: string; keyId: string }
  | { type: 'api_key_deleted'; userId: string; keyId: string }
  | ({ type: 'access_refused'; userId: string; reason: AccessRefusal } & Credential);

/** Every type there is. A record, so that the compiler misses none. */
const TYPES: Record<SecurityEvent['type'], true> = {
  account_created: true,
  account_deleted: true,
  account_disabled: true,
  account_enabled: true,
  account_scopes_changed: true,
  profile_changed: true,
  password_changed: true,
  password_rejected: true,
  breach_check_failed: true,
  signed_in: true,
  sign_in_failed: true,
  limit_reached: true,
  signed_out: true,
  session_ended: true,
  sessions_ended: true,
  refresh_token_reused: true,
  api_key_created: true,
  api_key_changed: true,
  api_key_enabled: true,
  api_key_disabled: true,
  api_key_rotated: true,
  api_key_reported: true,
  api_key_old_secret_reported: true,
  api_key_deleted: true,
  access_refused: true,
};

/** For the API document. */
export const SECURITY_EVENT_TYPES = Object.keys(TYPES);

/**
 * What is unusual about a sign-in: no device token of the account was shown, or attempts in a row had failed before it, counted
 * where it is counted itself (of the name, or of the device).
 */
export type UnusualSignIn = 'new_device' | 'after_failures' | 'new_device_after_failures';

/** Names of the limits; the numbers are in `LIMITS`. */
export type ReachedLimit =
  | 'login-account'
  | 'login-device'
  | 'login-address'
  | 'login-network'
  | 'sign-in'
  | 'password-proof'
  | 'sign-up'
  | 'sign-up-network'
  | 'refresh-session'
  | 'account-changes'
  | 'session-changes'
  | 'key-report'
  | 'key-report-network';

/** Why somebody who is known was not let through. */
export type AccessRefusal =
  | 'scope_missing'
  | 'scope_not_held'
  | 'session_required'
  | 'api_key_required'
  | 'recent_login_required'
  | 'address_not_allowed';
