import type { TestDatabase } from './database';

/** What must never be there: a row without the rows that belong to it. */
const HALF_DONE: Record<string, string> = {
  'account without the event of its creation': `
    SELECT u.id FROM users u WHERE NOT EXISTS
      (SELECT 1 FROM audit_events e WHERE e.user_id = u.id AND e.type = 'account_created')`,
  'account created or deleted, by an event, but not in fact': `
    SELECT e.user_id AS id FROM audit_events e
    WHERE e.type IN ('account_created', 'account_deleted')
      AND EXISTS (SELECT 1 FROM users u WHERE u.id = e.user_id) = EXISTS
        (SELECT 1 FROM audit_events d WHERE d.user_id = e.user_id AND d.type = 'account_deleted')`,
  'session without the event of its sign-in': `
    SELECT s.id FROM sessions s WHERE NOT EXISTS
      (SELECT 1 FROM audit_events e WHERE e.credential_id = s.id AND e.type = 'signed_in')`,
  'sign-in of an account that exists, by an event, without its session': `
    SELECT e.id FROM audit_events e JOIN users u ON u.id = e.user_id
    WHERE e.type = 'signed_in' AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = e.credential_id)`,
  'session ended by its holder or as stolen without the event': `
    SELECT s.id FROM sessions s
    WHERE s.revocation_reason IN ('logout', 'refresh_token_reused') AND NOT EXISTS
      (SELECT 1 FROM audit_events e WHERE e.credential_id = s.id
         AND e.type = CASE s.revocation_reason WHEN 'logout' THEN 'signed_out' ELSE 'refresh_token_reused' END)`,
  'session ended with its account without the event': `
    SELECT s.id FROM sessions s
    WHERE s.revocation_reason IN ('password_changed', 'account_disabled') AND NOT EXISTS
      (SELECT 1 FROM audit_events e WHERE e.user_id = s.user_id AND e.type = s.revocation_reason)`,
  'session ended, by an event, that stands': `
    SELECT s.id FROM sessions s JOIN audit_events e ON e.credential_id = s.id
    WHERE s.revoked_at IS NULL AND e.type IN ('signed_out', 'refresh_token_reused')`,
  'session ended of which no other instance hears': `
    SELECT s.id FROM sessions s WHERE s.revoked_at IS NOT NULL AND NOT EXISTS
      (SELECT 1 FROM revocation_entries r WHERE r.subject_id = s.id AND r.expires_at >= s.access_ends_at)`,
  'session of which others hear that it has ended, and that stands': `
    SELECT s.id FROM sessions s JOIN revocation_entries r ON r.subject_id = s.id WHERE s.revoked_at IS NULL`,
  'password changed as often as events do not tell': `
    SELECT u.id FROM users u WHERE u.credential_version - 1 <>
      (SELECT COUNT(*) FROM audit_events e WHERE e.user_id = u.id AND e.type = 'password_changed')`,
  'account disabled without the event, or the event without it': `
    SELECT u.id FROM users u WHERE (u.disabled_at IS NOT NULL) <> EXISTS
      (SELECT 1 FROM audit_events e WHERE e.user_id = u.id AND e.type = 'account_disabled')`,
  'account disabled with a session that stands': `
    SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id
    WHERE u.disabled_at IS NOT NULL AND s.revoked_at IS NULL`,
  'key without a secret': `
    SELECT k.id FROM api_keys k WHERE NOT EXISTS (SELECT 1 FROM api_key_secrets s WHERE s.key_id = k.id)`,
  'secret without its key': `
    SELECT s.hash FROM api_key_secrets s WHERE NOT EXISTS (SELECT 1 FROM api_keys k WHERE k.id = s.key_id)`,
  'key without the event of its creation': `
    SELECT k.id FROM api_keys k WHERE NOT EXISTS
      (SELECT 1 FROM audit_events e WHERE e.credential_id = k.id AND e.type = 'api_key_created')`,
  'key created, by an event, that is neither there nor deleted': `
    SELECT e.credential_id AS id FROM audit_events e
    WHERE e.type = 'api_key_created' AND NOT EXISTS (SELECT 1 FROM api_keys k WHERE k.id = e.credential_id)
      AND NOT EXISTS (SELECT 1 FROM audit_events d WHERE d.credential_id = e.credential_id AND d.type = 'api_key_deleted')`,
};

/** What is half done in a database that no call is under way in. */
export async function halfDone(database: TestDatabase): Promise<string[]> {
  const found: string[] = [];
  for (const [what, sql] of Object.entries(HALF_DONE)) {
    for (const row of await database.rows(sql)) found.push(`${what}: ${JSON.stringify(row)}`);
  }
  return found;
}
