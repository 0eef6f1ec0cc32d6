import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { AuditTrail } from '../audit/audit-trail';
import { ApiError } from '../core/errors';
import { LOG, type Log } from '../core/log';
import type { Origin } from '../core/origin';
import { type HashPlace, PasswordHasher } from '../crypto/password-hasher';
import { execute } from '../database/sql';
import { Transactions } from '../database/transactions';
import { PasswordPolicy } from '../passwords/password-policy';
import type { NewPasswordPlace } from '../passwords/password-strength';
import type { PasswordOwner } from '../passwords/personal-words';
import type { User } from './user.entity';

/** A password that has been approved and is to be set. */
export interface NewPassword {
  hash: string;
  /** Whether the breached-password service was to be asked and could not be. */
  breachCheckFailed: boolean;
}

/** The passwords of accounts: what their owners prove themselves with. */
@Injectable()
export class AccountPasswords {
  constructor(
    private readonly transactions: Transactions,
    private readonly hasher: PasswordHasher,
    private readonly policy: PasswordPolicy,
    private readonly audit: AuditTrail,
    @Inject(LOG) private readonly log: Log,
  ) {}

  /**
   * Asks for a password that is to be verified or hashed soon, before anything else is done for it.
   *
   * @throws ApiError `overloaded` when it would be refused now
   */
  requireRoom(place: HashPlace): void {
    this.hasher.requireRoom(place);
  }

  /**
   * Whether `password` is the account's. Without an account the same work is done, and so it is for a stored hash that must
   * not be computed; that one is an error in the log.
   *
   * @param place in the hashing queue, by who asks
   * @throws ApiError `overloaded`
   */
  verify(user: User | null, password: string, place: HashPlace, { requestId }: Origin): Promise<boolean> {
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
  async prepareNew(
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
  async set(
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
}
