import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { isSessionStanding, lockAccount, takeAccount } from '../access/account-lock';
import type { Principal } from '../access/principal';
import { coversScopes } from '../access/scopes';
import { ApiKeysService } from '../api-keys/api-keys.service';
import { AuditTrail } from '../audit/audit-trail';
import { ApiError } from '../core/errors';
import { Failpoints } from '../core/failpoints';
import type { Origin } from '../core/origin';
import { Transactions } from '../database/transactions';
import type { NewPasswordPlace } from '../passwords/password-strength';
import { addressNetwork } from '../rate-limit/address-block';
import { PasswordAttempts, settleBy } from '../rate-limit/password-attempts';
import { SessionsService } from '../sessions/sessions.service';
import { AccountPasswords } from '../users/account-passwords';
import type { User } from '../users/user.entity';
import { UsersService } from '../users/users.service';
import type { ChangePasswordRequest } from './account.dto';

/** What changes an account as a whole, and therefore its sessions and keys with it. */
@Injectable()
export class AccountService {
  constructor(
    private readonly users: UsersService,
    private readonly passwords: AccountPasswords,
    private readonly sessions: SessionsService,
    private readonly keys: ApiKeysService,
    private readonly attempts: PasswordAttempts,
    private readonly transactions: Transactions,
    private readonly audit: AuditTrail,
    private readonly failpoints: Failpoints,
  ) {}

  /**
   * Sets a new password. Every other session ends; the caller's goes on. Keys stay unless asked.
   *
   * @throws ApiError `current_password_wrong`, `validation_failed`, `token_revoked`, `rate_limited`, `overloaded`,
   * `service_unavailable`
   */
  async changePassword(principal: Principal, request: ChangePasswordRequest, origin: Origin): Promise<void> {
    const { userId, credentialId: sessionId } = principal;
    const user = await this.provePassword(principal, request.currentPassword, origin);
    const password = await this.passwords.prepareNew(
      'newPassword',
      request.newPassword,
      user,
      placeOf(userId, origin),
      origin,
    );
    await this.failpoints.reach('password_change:password_verified');
    await this.transactions.runFor(userId, async (tx) => {
      await requireStillProven(tx, user, sessionId);
      await this.passwords.set(tx, userId, password, origin);
      await this.failpoints.reach('password_change:password_written');
      await this.sessions.revokeAll(tx, userId, 'password_changed', sessionId);
      await this.failpoints.reach('password_change:sessions_revoked');
      if (request.revokeKeys) await this.keys.deleteAll(tx, userId, origin);
      await this.audit.record(tx, { type: 'password_changed', userId, sessionId }, origin);
    });
    await this.failpoints.reach('password_change:committed');
  }

  /**
   * Deletes the account with its sessions and keys. The audit trail stays.
   *
   * @throws ApiError `current_password_wrong`, `token_revoked`, `rate_limited`, `overloaded`, `service_unavailable`
   */
  async delete(principal: Principal, password: string, origin: Origin): Promise<void> {
    const { userId, credentialId: sessionId } = principal;
    const user = await this.provePassword(principal, password, origin);
    await this.transactions.runFor(userId, async (tx) => {
      await requireStillProven(tx, user, sessionId);
      await this.erase(tx, userId, origin);
      await this.audit.record(tx, { type: 'account_deleted', userId, sessionId }, origin);
    });
    await this.failpoints.reach('deletion:committed');
  }

  /**
   * Disables an account for an operator: its sessions end, its keys stop working, nobody can sign in. Repeated, it tells all
   * instances of that again.
   *
   * @returns whether it was enabled before
   */
  async disable(userId: string, origin: Origin): Promise<boolean> {
    const changed = await this.transactions.runFor(userId, async (tx) => {
      if (!(await takeAccount(tx, userId))) return false;
      const wasEnabled = await this.users.setEnabled(tx, userId, false);
      await this.sessions.revokeAllForOperator(tx, userId, 'account_disabled');
      await this.failpoints.reach('disabling:sessions_revoked');
      await this.keys.announceAll(tx, userId);
      if (wasEnabled) await this.audit.record(tx, { type: 'account_disabled', userId }, origin);
      return wasEnabled;
    });
    await this.failpoints.reach('disabling:committed');
    return changed;
  }

  /**
   * Enables an account again. Its keys work again; its sessions stay ended.
   *
   * @returns whether it was disabled before
   */
  async enable(userId: string, origin: Origin): Promise<boolean> {
    return this.transactions.runFor(userId, async (tx) => {
      if (!(await this.users.setEnabled(tx, userId, true))) return false;
      await this.keys.announceAll(tx, userId);
      await this.audit.record(tx, { type: 'account_enabled', userId }, origin);
      return true;
    });
  }

  /**
   * Sets what an account may do at most, for an operator. Its keys shrink and grow with it at once. Where it loses
   * something its sessions end, since their tokens say what it was before; they grow with the next refresh. Repeated, it tells all
   * instances again of those that have ended.
   *
   * @returns whether there still is such an account
   * @throws ApiError `service_unavailable`
   */
  async setScopes(userId: string, scopes: string[], origin: Origin): Promise<boolean> {
    return this.transactions.runFor(userId, async (tx) => {
      const before = await this.users.setScopes(tx, userId, scopes);
      if (!before) return false;
      if (coversScopes(scopes, before)) await this.sessions.announceEnded(tx, userId);
      else await this.sessions.revokeAllForOperator(tx, userId, 'account_scopes_changed');
      await this.keys.announceAll(tx, userId);
      await this.audit.record(tx, { type: 'account_scopes_changed', userId }, origin);
      return true;
    });
  }

  /**
   * Sets a new password for an operator, who need not know the old one; also of a disabled account. Every session ends.
   * Keys stay unless asked.
   *
   * @returns whether there still is such an account
   * @throws ApiError `validation_failed`, `overloaded`, `service_unavailable`
   */
  async setPassword(
    user: User,
    newPassword: string,
    keys: 'keep' | 'delete',
    origin: Origin,
  ): Promise<boolean> {
    const place = placeOf(user.id, origin);
    const password = await this.passwords.prepareNew('password', newPassword, user, place, origin);
    return this.transactions.runFor(user.id, async (tx) => {
      if (!(await takeAccount(tx, user.id))) return false;
      await this.passwords.set(tx, user.id, password, origin);
      await this.sessions.revokeAllForOperator(tx, user.id, 'password_changed');
      if (keys === 'delete') await this.keys.deleteAll(tx, user.id, origin);
      const event = { type: 'password_changed', userId: user.id, reason: 'by_operator' } as const;
      await this.audit.record(tx, event, origin);
      return true;
    });
  }

  /**
   * Deletes an account for an operator, with its sessions and keys. The audit trail stays.
   *
   * @returns whether there was such an account
   * @throws ApiError `service_unavailable`
   */
  async deleteForOperator(userId: string, origin: Origin): Promise<boolean> {
    return this.transactions.runFor(userId, async (tx) => {
      if (!(await takeAccount(tx, userId))) return false;
      await this.erase(tx, userId, origin);
      await this.audit.record(tx, { type: 'account_deleted', userId, reason: 'by_operator' }, origin);
      return true;
    });
  }

  /** Takes away the account and everything that is its own, but what the audit trail tells of it. */
  private async erase(tx: EntityManager, userId: string, origin: Origin): Promise<void> {
    await this.sessions.revokeAll(tx, userId, 'account_deleted');
    await this.failpoints.reach('deletion:sessions_revoked');
    await this.keys.deleteAll(tx, userId, origin);
    await this.users.remove(tx, userId);
  }

  /** Counted by session: whoever has stolen one cannot keep the owner, in another, from changing the password. */
  private async provePassword(principal: Principal, password: string, origin: Origin): Promise<User> {
    const { userId, credentialId: sessionId } = principal;
    const place = placeOf(userId, origin);
    this.passwords.requireRoom(place);
    const user = await this.users.get(userId);
    const attempt = await this.attempts.admit('password-proof', sessionId, { userId, origin });
    const { right } = await settleBy(attempt, () => this.passwords.verify(user, password, place, origin));
    if (!right) throw new ApiError('current_password_wrong');
    return user;
  }
}

/** Where the passwords of a signed-in user wait, and those that an operator sets. */
function placeOf(userId: string, { ip }: Origin): NewPasswordPlace {
  return { lane: 'account', network: addressNetwork(ip), subject: userId };
}

/** The password was checked outside the transaction: it must still be the one, and the caller's session still stand. */
async function requireStillProven(tx: EntityManager, user: User, sessionId: string): Promise<void> {
  const isProven = await lockAccount(tx, user.id, user.credentialVersion);
  // First: who has been thrown out meanwhile has typed no wrong password.
  if (!(await isSessionStanding(tx, sessionId))) throw new ApiError('token_revoked');
  if (!isProven) throw new ApiError('current_password_wrong');
}
