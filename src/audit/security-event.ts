/** Everything the audit trail can tell. A closed list: what is not here is not recorded, and the reverse. */
export type SecurityEvent =
  | { type: 'account_created'; userId: string }
  | { type: 'account_deleted'; userId: string; sessionId: string }
  | { type: 'account_disabled'; userId: string }
  | { type: 'account_enabled'; userId: string }
  | { type: 'profile_changed'; userId: string; sessionId: string }
  | { type: 'password_changed'; userId: string; sessionId: string }
  | { type: 'signed_in'; userId: string; sessionId: string }
  | { type: 'signed_out'; userId: string; sessionId: string }
  | { type: 'session_ended'; userId: string; sessionId: string }
  | { type: 'sessions_ended'; userId: string; sessionId: string }
  | { type: 'refresh_token_reused'; userId: string; sessionId: string }
  | { type: 'api_key_created'; userId: string; keyId: string }
  | { type: 'api_key_deleted'; userId: string; keyId: string };
