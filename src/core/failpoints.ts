/**
 * Places where a test stops a call or ends the process, to prove what holds if it happens just there. Named after the
 * operation and the step that has just been done. Those that end in `_written`, `_revoked`, `_sealed` or `_selected` lie
 * inside a transaction, before a write that must hold together with that step; the others lie outside of any.
 */
export type Failpoint =
  | 'sign_up:account_written'
  | 'login:password_verified'
  | 'login:session_written'
  | 'login:committed'
  | 'rotate:row_read'
  | 'rotate:committed'
  | 'reuse:session_revoked'
  | 'reuse:committed'
  | 'logout:session_revoked'
  | 'logout:committed'
  | 'password_change:password_verified'
  | 'password_change:password_written'
  | 'password_change:sessions_revoked'
  | 'password_change:committed'
  | 'disabling:sessions_revoked'
  | 'disabling:committed'
  | 'deletion:sessions_revoked'
  | 'deletion:committed'
  | 'key_creation:key_written'
  | 'key_creation:committed'
  | 'key_lookup:row_read'
  | 'key_report:secret_found'
  | 'import:accounts_written'
  | 'seal:lease_taken'
  | 'seal:rows_sealed'
  | 'seal:committed'
  | 'cleanup:rows_selected';

/** In service nothing happens at any of these places; tests put something else in its place. */
export class Failpoints {
  /** Called as each place is passed. Must be awaited. */
  reach(_point: Failpoint): Promise<void> | undefined {
    return undefined;
  }
}
