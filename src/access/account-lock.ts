import type { EntityManager } from 'typeorm';
import { ApiError } from '../core/errors';
import { execute, select } from '../database/sql';
import type { Principal } from './principal';
import { parseScopes } from './scopes';

/**
 * Takes the account's row for the rest of the transaction, if it is enabled and, where a version is given, its password
 * is still the one that was proven. Whoever makes something lasting in an account's name (a session, a key), changes it, or
 * takes all such things away goes through here first, so that neither can outrun the other. What only ends one session or key
 * needs no lock: a logout, a detected reuse, a report. A request does so in `runFor`: those who would only wait for the row then
 * wait without a connection.
 *
 * @returns whether the account still stands as expected
 */
export async function lockAccount(
  tx: EntityManager,
  userId: string,
  credentialVersion?: number,
): Promise<boolean> {
  // An update that changes nothing locks the row on both engines; SQLite has no SELECT … FOR UPDATE.
  const matched =
    credentialVersion === undefined
      ? await execute(tx, 'UPDATE users SET disabled_at = disabled_at WHERE id = ? AND disabled_at IS NULL', [
          userId,
        ])
      : await execute(
          tx,
          'UPDATE users SET disabled_at = disabled_at WHERE id = ? AND disabled_at IS NULL AND credential_version = ?',
          [userId, credentialVersion],
        );
  return matched === 1;
}

/**
 * Takes the account's row for the rest of the transaction, whatever its state: what an operator does to an account holds for
 * a disabled one too.
 *
 * @returns whether there is such an account
 */
export async function takeAccount(tx: EntityManager, userId: string): Promise<boolean> {
  return (await execute(tx, 'UPDATE users SET disabled_at = disabled_at WHERE id = ?', [userId])) === 1;
}

/** Whether the session has not been revoked. Under the account's lock the answer holds until the transaction ends. */
export async function isSessionStanding(tx: EntityManager, sessionId: string): Promise<boolean> {
  const rows = await select(tx, 'SELECT id FROM sessions WHERE id = ? AND revoked_at IS NULL', [sessionId]);
  return rows.length === 1;
}

/**
 * Takes the account's lock for a caller who has been let in by a session, and makes sure that both still stand: a session
 * that was ended while the request was on its way changes nothing any more.
 *
 * @throws ApiError `token_revoked`
 */
export async function lockForCaller(
  tx: EntityManager,
  { userId, credentialId }: Pick<Principal, 'userId' | 'credentialId'>,
): Promise<void> {
  const standing = (await lockAccount(tx, userId)) && (await isSessionStanding(tx, credentialId));
  if (!standing) throw new ApiError('token_revoked');
}

/** What the account may do at most. */
export async function accountScopes(tx: EntityManager, userId: string): Promise<string[]> {
  const [account] = await select<{ scopes: string }>(tx, 'SELECT scopes FROM users WHERE id = ?', [userId]);
  return account ? parseScopes(account.scopes) : [];
}
