import { Injectable } from '@nestjs/common';
import { lockAccount } from '../access/account-lock';
import type { Principal } from '../access/principal';
import { AuditTrail } from '../audit/audit-trail';
import type { SecurityEvent, UnusualSignIn } from '../audit/security-event';
import { Config } from '../config/config';
import { ApiError } from '../core/errors';
import { Failpoints } from '../core/failpoints';
import type { Origin } from '../core/origin';
import type { HashPlace } from '../crypto/password-hasher';
import { Transactions } from '../database/transactions';
import { settleBy } from '../rate-limit/password-attempts';
import type { SessionHolder } from '../sessions/held-session';
import type { RefreshCall } from '../sessions/refresh-call';
import type { SessionGrant } from '../sessions/session-grants';
import { SessionRotation } from '../sessions/session-rotation';
import { SessionsService } from '../sessions/sessions.service';
import { AccountPasswords } from '../users/account-passwords';
import type { User } from '../users/user.entity';
import type { LoginRequest } from './auth.dto';
import { SignInLimits } from './sign-in-limits';
import { SignInOutcomes } from './sign-in-outcomes';

/** Who is signed in, and what he is handed. */
export interface SignedIn {
  holder: SessionHolder;
  grant: SessionGrant;
}

/** Somebody who has just shown the password. */
export interface LoggedIn extends SignedIn {
  user: User;
  /** Makes the device a known one at its next login. */
  deviceToken: string;
}

/** Signing in, staying in, signing out. */
@Injectable()
export class AuthService {
  constructor(
    private readonly passwords: AccountPasswords,
    private readonly sessions: SessionsService,
    private readonly rotation: SessionRotation,
    private readonly limits: SignInLimits,
    private readonly transactions: Transactions,
    private readonly audit: AuditTrail,
    private readonly config: Config,
    private readonly failpoints: Failpoints,
    private readonly outcomes: SignInOutcomes,
  ) {}

  /**
   * Signs a user in. The same work is done whether or not there is such a user (ASVS 6.3.8).
   *
   * @throws ApiError `user_not_found`, `invalid_credentials`, `account_disabled`, `rate_limited`, `overloaded`,
   * `service_unavailable`
   */
  login(request: LoginRequest, origin: Origin): Promise<LoggedIn> {
    return this.outcomes.ofLogin(this.signIn(request, origin));
  }

  /**
   * Exchanges a refresh token for its successor.
   *
   * @throws ApiError `refresh_token_invalid`, `rate_limited`, `service_unavailable`
   */
  async refresh(call: RefreshCall): Promise<SignedIn> {
    const outcome = await this.outcomes.ofRefresh(this.rotation.rotate(call));
    if (outcome.kind !== 'granted') throw new ApiError('refresh_token_invalid');
    return outcome;
  }

  /**
   * Ends the caller's session, and with it every token of it.
   *
   * @throws ApiError `service_unavailable`
   */
  async logout({ userId, credentialId: sessionId }: Principal, origin: Origin): Promise<void> {
    await this.transactions.runFor(userId, async (tx) => {
      const ended = await this.sessions.revoke(tx, sessionId, 'logout');
      await this.failpoints.reach('logout:session_revoked');
      if (ended) await this.audit.record(tx, { type: 'signed_out', userId, sessionId }, origin);
    });
    await this.failpoints.reach('logout:committed');
  }

  private async signIn(request: LoginRequest, origin: Origin): Promise<LoggedIn> {
    const { user, place, unusual } = await this.authenticate(request, origin);
    const counted = await this.limits.countSuccess(user.id, origin);
    let grant: SessionGrant | undefined;
    try {
      await this.passwords.renewOutdatedHash(user, request.password, place);
      await this.failpoints.reach('login:password_verified');
      grant = await this.openSession(user, unusual, origin);
    } finally {
      if (!grant) await counted.giveBack();
    }
    await this.failpoints.reach('login:committed');
    // While the password was being checked it was changed, or the account disabled. What was proven no longer counts.
    if (!grant) return this.signIn(request, origin);
    return { user, holder: user, grant, deviceToken: this.limits.deviceTokenFor(user, request.deviceToken) };
  }

  /** Undefined where the account is no longer as it was when the password was shown. */
  private openSession(
    { id: userId, credentialVersion }: User,
    unusual: UnusualSignIn | undefined,
    origin: Origin,
  ): Promise<SessionGrant | undefined> {
    return this.transactions.runFor(userId, async (tx) => {
      if (!(await lockAccount(tx, userId, credentialVersion))) return undefined;
      const opened = await this.sessions.open(tx, userId, origin);
      const { sessionId } = opened;
      await this.failpoints.reach('login:session_written');
      await this.audit.record(tx, { type: 'signed_in', userId, sessionId, reason: unusual }, origin);
      return opened;
    });
  }

  private async authenticate(
    request: LoginRequest,
    origin: Origin,
  ): Promise<{ user: User; place: HashPlace; unusual: UnusualSignIn | undefined }> {
    const login = await this.limits.admit(request, origin);
    const { user, place } = login;
    const { right, failuresBefore } = await settleBy(login, () =>
      this.passwords.verify(user, request.password, place, origin),
    );
    if (!user) {
      // Without the name, which may be a password that went into the wrong field.
      await this.recordFailure({ type: 'sign_in_failed', userId: null, reason: 'unknown_user' }, origin);
      throw new ApiError(this.config.uniformLoginErrors ? 'invalid_credentials' : 'user_not_found');
    }
    const { id: userId } = user;
    if (!right) {
      await this.recordFailure({ type: 'sign_in_failed', userId, reason: 'wrong_password' }, origin);
      throw new ApiError('invalid_credentials');
    }
    // Only after the right password: nobody else learns that there is such an account, and how it stands.
    if (user.disabledAt !== null) {
      await this.recordFailure({ type: 'sign_in_failed', userId, reason: 'account_disabled' }, origin);
      throw new ApiError('account_disabled');
    }
    return { user, place, unusual: unusualIn(place.lane === 'known', failuresBefore) };
  }

  private async recordFailure(event: SecurityEvent, origin: Origin): Promise<void> {
    await this.transactions.run((tx) => this.audit.recordBounded(tx, event, origin));
  }
}

/** What about a sign-in its owner should look at, if anything: one by a thief looks the same (ASVS 6.3.5). */
function unusualIn(knownDevice: boolean, failuresBefore: number): UnusualSignIn | undefined {
  if (failuresBefore > 0) return knownDevice ? 'after_failures' : 'new_device_after_failures';
  return knownDevice ? undefined : 'new_device';
}
