import { Injectable } from '@nestjs/common';
import { ProxyWatch } from '../access/proxy-watch';
import { canonical } from '../core/canonical';
import type { Origin } from '../core/origin';
import { Random } from '../core/random';
import { DEVICE_ID_BYTES, type DeviceToken, DeviceTokenFormat } from '../crypto/device-token-format';
import { KeyRing } from '../crypto/key-ring';
import { addressBlock } from '../rate-limit/address-block';
import { type AdmittedAttempt, PasswordAttempts } from '../rate-limit/password-attempts';
import { RateLimits } from '../rate-limit/rate-limits';
import type { User } from '../users/user.entity';
import type { LoginRequest } from './auth.dto';

/** A login that may be evaluated. */
export interface AdmittedLogin extends AdmittedAttempt {
  /** Whether it comes from a device that has signed in to this account before. */
  lane: 'known' | 'unknown';
}

/**
 * Which logins are evaluated. A device that has signed in to the account before is counted by itself; all others together,
 * by the name and by the address. So nobody can lock the owner out of a device of his, however many guess.
 */
@Injectable()
export class SignInLimits {
  private readonly format: DeviceTokenFormat;

  constructor(
    private readonly attempts: PasswordAttempts,
    private readonly limits: RateLimits,
    private readonly random: Random,
    private readonly proxies: ProxyWatch,
    keys: KeyRing,
  ) {
    this.format = new DeviceTokenFormat(keys.deviceToken);
  }

  /**
   * Lets a login in to be evaluated, or not. A name that nobody has is counted like any other.
   *
   * @param user the account of that name, if there is one
   * @throws ApiError `rate_limited`, `service_unavailable`
   */
  async admit(request: LoginRequest, user: User | null, origin: Origin): Promise<AdmittedLogin> {
    this.proxies.noteSignIn(origin.ip);
    const caller = { userId: user?.id ?? null, origin };
    const device = this.deviceOf(request.deviceToken, user);
    if (device) {
      const subject = device.deviceId.toString('hex');
      return { lane: 'known', ...(await this.attempts.admit('login-device', subject, caller)) };
    }
    const taken = await this.limits.take('login-address', addressBlock(origin.ip), caller);
    const attempt = await this.attempts
      .admit('login-account', canonical(request.username), caller)
      .catch(async (error: unknown) => {
        // What is not evaluated is no failure of that address.
        await taken.giveBack();
        throw error;
      });
    const settle = (how: 'succeed' | 'withdraw') => async () => {
      await attempt[how]();
      await taken.giveBack();
    };
    return { lane: 'unknown', succeed: settle('succeed'), withdraw: settle('withdraw') };
  }

  /** The token for a device that has just signed in: the one that it showed, if that is still good, or a new one. */
  deviceTokenFor(user: User, presented: string | undefined): string {
    const deviceId = this.deviceOf(presented, user)?.deviceId ?? this.random.bytes(DEVICE_ID_BYTES);
    return this.format.encode({ userId: user.id, credentialVersion: user.credentialVersion, deviceId });
  }

  /** A token of another account, of an earlier password, or that is none, makes no difference. */
  private deviceOf(presented: string | undefined, user: User | null): DeviceToken | undefined {
    const token = presented === undefined ? undefined : this.format.decode(presented);
    const good = token?.userId === user?.id && token?.credentialVersion === user?.credentialVersion;
    return good ? token : undefined;
  }
}
