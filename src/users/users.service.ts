import { Injectable } from '@nestjs/common';
import type { EntityManager, QueryFailedError } from 'typeorm';
import { accountScopes, lockForCaller, takeAccount } from '../access/account-lock';
import type { Principal } from '../access/principal';
import { ALL_SCOPES } from '../access/scopes';
import { AuditTrail } from '../audit/audit-trail';
import { canonical } from '../core/canonical';
import { Clock } from '../core/clock';
import { ApiError } from '../core/errors';
import { Failpoints } from '../core/failpoints';
import { Ids } from '../core/ids';
import type { Origin } from '../core/origin';
import { isUniqueViolation, violates } from '../database/failures';
import { findOne } from '../database/rows';
import { execute, select, toInstant } from '../database/sql';
import { Transactions } from '../database/transactions';
import type { NewPasswordPlace } from '../passwords/password-strength';
import type { PasswordOwner } from '../passwords/personal-words';
import { addressNetwork } from '../rate-limit/address-block';
import { AccountPasswords, type NewPassword } from './account-passwords';
import { type Profile, User } from './user.entity';
import type { SignUpRequest, UpdateProfileRequest } from './users.dto';

/** Accounts: how they come to be, what they are called, and what they may do. */
@Injectable()
export class UsersService {
  constructor(
    private readonly transactions: Transactions,
    private readonly passwords: AccountPasswords,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
    private readonly ids: Ids,
    private readonly failpoints: Failpoints,
  ) {}

  /**
   * Makes an account.
   *
   * @throws ApiError `validation_failed` for the password, `username_taken`, `email_taken`, `overloaded`, `service_unavailable`
   */
  async register(request: SignUpRequest, origin: Origin): Promise<User> {
    const network = addressNetwork(origin.ip);
    const place: NewPasswordPlace = { lane: 'registration', network, subject: network };
    this.passwords.requireRoom(place);
    await this.refuseTaken(request);
    const password = await this.passwords.prepareNew('password', request.password, request, place, origin);
    return this.create(request, password, origin);
  }

  /** The account of that name, compared without regard to case. Opens its own read. */
  findByUsername(username: string): Promise<User | null> {
    return this.transactions.read((tx) => findOne(tx, User, 'usernameCanonical', canonical(username)));
  }

  /** The account of that id. Opens its own read. */
  find(userId: string): Promise<User | null> {
    return this.transactions.read((tx) => findOne(tx, User, 'id', userId));
  }

  /**
   * The caller's account.
   *
   * @throws ApiError `token_revoked` when it has been deleted meanwhile
   */
  async get(userId: string): Promise<User> {
    const user = await this.find(userId);
    if (!user) throw new ApiError('token_revoked');
    return user;
  }

  /**
   * What the caller is told of his account; nothing else of it is read.
   *
   * @throws ApiError `token_revoked` when it has been deleted meanwhile
   */
  async profileOf(userId: string): Promise<Profile> {
    const [row] = await this.transactions.read((tx) =>
      select<Omit<Profile, 'createdAt'> & { createdAt: Date | string }>(
        tx,
        'SELECT id, username, email, created_at AS createdAt FROM users WHERE id = ?',
        [userId],
      ),
    );
    // As `findOne` has it: what equals the id to an engine need not be it.
    if (row?.id !== userId) throw new ApiError('token_revoked');
    return { ...row, createdAt: toInstant(row.createdAt) };
  }

  /**
   * Changes what the caller is called.
   *
   * @throws ApiError `username_taken`, `email_taken`, `token_revoked`, `service_unavailable`
   */
  async updateProfile(principal: Principal, change: UpdateProfileRequest, origin: Origin): Promise<User> {
    const { userId, credentialId: sessionId } = principal;
    return this.namingConflicts(() =>
      this.transactions.runFor(userId, async (tx) => {
        await lockForCaller(tx, principal);
        const { username, email } = change;
        if (username !== undefined) {
          await tx.update(User, { id: userId }, { username, usernameCanonical: canonical(username) });
        }
        if (email !== undefined) {
          await tx.update(User, { id: userId }, { email, emailCanonical: canonical(email) });
        }
        if (username !== undefined || email !== undefined) {
          await this.audit.record(tx, { type: 'profile_changed', userId, sessionId }, origin);
        }
        return tx.findOneByOrFail(User, { id: userId });
      }),
    );
  }

  /**
   * Disables or enables the account inside `tx`.
   *
   * @returns whether that changed anything
   */
  async setEnabled(tx: EntityManager, userId: string, enabled: boolean): Promise<boolean> {
    const matched = enabled
      ? await execute(tx, 'UPDATE users SET disabled_at = NULL WHERE id = ? AND disabled_at IS NOT NULL', [
          userId,
        ])
      : await execute(tx, 'UPDATE users SET disabled_at = ? WHERE id = ? AND disabled_at IS NULL', [
          this.clock.now(),
          userId,
        ]);
    return matched === 1;
  }

  /**
   * Sets what the account may do at most, inside `tx`. Takes its row, so that no key is given a scope meanwhile.
   *
   * @returns what it was before, or undefined where there is no such account
   */
  async setScopes(tx: EntityManager, userId: string, scopes: string[]): Promise<string[] | undefined> {
    if (!(await takeAccount(tx, userId))) return undefined;
    const before = await accountScopes(tx, userId);
    await execute(tx, 'UPDATE users SET scopes = ? WHERE id = ?', [scopes.join(' '), userId]);
    return before;
  }

  /** Removes the account inside `tx`, and with it the rows of its sessions and keys. */
  async remove(tx: EntityManager, userId: string): Promise<void> {
    await tx.delete(User, { id: userId });
  }

  private async create(
    { username, email }: PasswordOwner,
    { hash, breachCheckFailed }: NewPassword,
    origin: Origin,
  ): Promise<User> {
    const user: User = {
      id: this.ids.next('user'),
      username,
      usernameCanonical: canonical(username),
      email,
      emailCanonical: canonical(email),
      passwordHash: hash,
      credentialVersion: 1,
      scopes: ALL_SCOPES,
      disabledAt: null,
      createdAt: this.clock.now(),
    };
    await this.namingConflicts(() =>
      this.transactions.run(async (tx) => {
        await tx.insert(User, user);
        await this.failpoints.reach('sign_up:account_written');
        await this.audit.record(tx, { type: 'account_created', userId: user.id }, origin);
        if (breachCheckFailed) {
          await this.audit.record(tx, { type: 'breach_check_failed', userId: user.id }, origin);
        }
      }),
    );
    return user;
  }

  /** Spares the hash where the answer is known already. The unique indexes decide; this only saves work. */
  private async refuseTaken({ username, email }: SignUpRequest): Promise<void> {
    const holders = await this.transactions.read((tx) =>
      tx.find(User, {
        select: { usernameCanonical: true },
        where: [{ usernameCanonical: canonical(username) }, { emailCanonical: canonical(email) }],
      }),
    );
    if (holders.some((holder) => holder.usernameCanonical === canonical(username))) {
      throw new ApiError('username_taken');
    }
    if (holders.length > 0) throw new ApiError('email_taken');
  }

  private async namingConflicts<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (isUniqueViolation(error)) throw conflictOf(error);
      throw error;
    }
  }
}

function conflictOf(error: QueryFailedError): Error {
  if (violates(error, 'uq_users_username', 'users', 'username_canonical'))
    return new ApiError('username_taken');
  if (violates(error, 'uq_users_email', 'users', 'email_canonical')) return new ApiError('email_taken');
  return error;
}
