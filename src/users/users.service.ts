import { Inject, Injectable } from '@nestjs/common';
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
import { LOG, type Log } from '../core/log';
import type { Origin } from '../core/origin';
import { type HashPlace, PasswordHasher } from '../crypto/password-hasher';
import { isUniqueViolation, violates } from '../database/failures';
import { findOne } from '../database/rows';
import { execute, select, toInstant } from '../database/sql';
import { Transactions } from '../database/transactions';
import { PasswordPolicy } from '../passwords/password-policy';
import type { NewPasswordPlace } from '../passwords/password-strength';
import type { PasswordOwner } from '../passwords/personal-words';
import { addressNetwork } from '../rate-limit/address-block';
import { type Profile, User } from './user.entity';
import type { SignUpRequest, UpdateProfileRequest } from './users.dto';

/** A password that has been approved and is to be set. */
export interface NewPassword {
  hash: string;
  /** Whether the breached-password service was to be asked and could not be. */
  breachCheckFailed: boolean;
}

/** Accounts: how they come to be, what they are called, and what their owner proves himself with. */
@Injectable()
export class UsersService {
  constructor(
    private readonly transactions: Transactions,
    private readonly hasher: PasswordHasher,
    private readonly policy: PasswordPolicy,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
    private readonly ids: Ids,
    private readonly failpoints: Failpoints,
    @Inject(LOG) private readonly log: Log,
  ) {}

  /**
   * Makes an account.
   *
   * @throws ApiError `validation_failed` for the password, `username_taken`, `email_taken`, `overloaded`, `service_unavailable`
   */
  async register(request: SignUpRequest, origin: Origin): Promise<User> {
    const network = addressNetwork(origin.ip);
    const place: NewPasswordPlace = { lane: 'registration', network, subject: network };
    this.hasher.requireRoom(place);
    await this.refuseTaken(request);
    const password = await this.prepareNewPassword('password', request.password, request, place, origin);
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
   * Whether `password` is the account's. Without an account the same work is done, and so it is for a stored hash that must
   * not be computed; that one is an error in the log.
   *
   * @param place in the hashing queue, by who asks
   * @throws ApiError `overloaded`
   */
  verifyPassword(
    user: User | null,
    password: string,
    place: HashPlace,
    { requestId }: Origin,
  ): Promise<boolean> {
    const refusal = this.hasher.refusalOf(user?.passwordHash);
    if (user && refusal) {
      this.log.error({ requestId, userId: user.id, reason: refusal }, 'A stored password hash is refused');
    }
    return this.hasher.verify(user?.passwordHash, password, place);
  }

  /**
   * Hashes anew what was hashed otherwise than today, unless the password has been changed meanwhile, or is not known to be
   * the owner's to its last byte. Where the queue is full the next sign-in will do.
   */
  async renewOutdatedHash(user: User, password: string, place: HashPlace): Promise<void> {
    if (!this.hasher.isToBeRenewed(user.passwordHash, password)) return;
    const renewed = await this.hasher.hash(password, place).catch((error: unknown) => {
      if (error instanceof ApiError && error.code === 'overloaded') return undefined;
      throw error;
    });
    if (renewed === undefined) return;
    // More than the statement alone would cost, once in an account's life: it may have to wait for others who sign in.
    await this.transactions.runFor(user.id, (tx) =>
      execute(tx, 'UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?', [
        renewed,
        user.id,
        user.passwordHash,
      ]),
    );
  }

  /**
   * Checks and hashes a password that is to be set.
   *
   * @param place in both queues, of those that are judged and of those that are hashed
   * @throws ApiError `validation_failed` naming `field`, `overloaded`
   */
  async prepareNewPassword(
    field: string,
    password: string,
    owner: PasswordOwner,
    place: NewPasswordPlace,
    { requestId }: Origin,
  ): Promise<NewPassword> {
    const { breachCheckFailed } = await this.policy.check(field, password, owner, place, requestId);
    return { hash: await this.hasher.hash(password, place), breachCheckFailed };
  }

  /** Sets the password inside `tx`, which must hold the account's lock. Proofs against the old one are void from here. */
  async setPassword(
    tx: EntityManager,
    userId: string,
    { hash, breachCheckFailed }: NewPassword,
    origin: Origin,
  ): Promise<void> {
    await execute(
      tx,
      'UPDATE users SET password_hash = ?, credential_version = credential_version + 1 WHERE id = ?',
      [hash, userId],
    );
    if (breachCheckFailed) await this.audit.record(tx, { type: 'breach_check_failed', userId }, origin);
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
