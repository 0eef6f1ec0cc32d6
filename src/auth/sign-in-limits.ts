import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { ProxyWatch } from '../access/proxy-watch';
import { canonical } from '../core/canonical';
import { Clock } from '../core/clock';
import { ApiError } from '../core/errors';
import type { Origin } from '../core/origin';
import { Random } from '../core/random';
import { DEVICE_ID_BYTES, type DeviceToken, DeviceTokenFormat } from '../crypto/device-token-format';
import { KeyRing } from '../crypto/key-ring';
import { type HashPlace, PasswordHasher } from '../crypto/password-hasher';
import { sha256Hex } from '../crypto/sha256';
import { addressNetwork } from '../rate-limit/address-block';
import type { Caller } from '../rate-limit/limit-hits';
import { type AdmittedAttempt, PasswordAttempts } from '../rate-limit/password-attempts';
import { RateLimits, type Taken } from '../rate-limit/rate-limits';
import type { User } from '../users/user.entity';
import { UsersService } from '../users/users.service';
import type { LoginRequest } from './auth.dto';

/** A login that may be evaluated. */
export interface AdmittedLogin extends AdmittedAttempt {
  /** The account of that name, if there is one. */
  user: User | null;
  /** Where it waits to be hashed: apart from others when it comes from a device that has signed in to this account before. */
  place: HashPlace;
}

/** A stranger's login that may be evaluated. */
interface AdmittedStranger {
  user: User | null;
  attempt: AdmittedAttempt;
}

/** What is known of a device token that was shown with a name that is not its account's. */
interface Mismatch {
  /** Digest of the name that would be right; none, where the token is good for no account any more. */
  right: string | undefined;
  /** When that was found, in milliseconds of the monotonic clock. */
  at: number;
}

/** What the logins of strangers under a name that is closed to them are counted against. */
interface ClosedName {
  subject: string;
  /** When the account was looked up, in milliseconds of the monotonic clock. */
  at: number;
}

/** Device tokens of which a mismatch is remembered, and names that are closed, each; and for how long, in milliseconds. */
const MOST_REMEMBERED = 10_000;
const REMEMBERED_MS = 60_000;

/**
 * Which logins are evaluated. A device that has signed in to the account before is counted by itself; all others together,
 * by the account and by the address. By the account, and not by what it is called: whoever has stolen a session would give it
 * another name after every ten guesses. So nobody can lock the owner out of a device of his, however many guess.
 */
@Injectable()
export class SignInLimits {
  private readonly format: DeviceTokenFormat;
  /**
   * By account and password. Without it, anyone with a device token of their own could make every login query the database,
   * with whatever names: device tokens are looked at before any limit. A device whose account was given another name since is
   * taken for a stranger for a minute, if it has shown a wrong one before.
   */
  private readonly mismatches = new LRUCache<string, Mismatch>({ max: MOST_REMEMBERED });
  /**
   * By digest of the name, whether or not there is such an account. Whoever takes a name that was closed a minute ago is
   * refused with it for that minute at the most.
   */
  private readonly closedNames = new LRUCache<string, ClosedName>({ max: MOST_REMEMBERED });

  constructor(
    private readonly attempts: PasswordAttempts,
    private readonly limits: RateLimits,
    private readonly random: Random,
    private readonly proxies: ProxyWatch,
    private readonly clock: Clock,
    private readonly hasher: PasswordHasher,
    private readonly users: UsersService,
    keys: KeyRing,
  ) {
    this.format = new DeviceTokenFormat(keys.deviceToken);
  }

  /**
   * Lets a login in to be evaluated, or not. A name that nobody has is counted like an account. While a name is closed to
   * strangers, they cost no hash, and one query for the account a minute, however many they are. While the queue is full they
   * cost nothing at all, nor do known devices but for the account that their token names. A token that goes with other names
   * costs one look at its account a minute, however many names they are.
   *
   * @throws ApiError `rate_limited`, `overloaded`, `service_unavailable`
   */
  async admit(request: LoginRequest, origin: Origin): Promise<AdmittedLogin> {
    this.proxies.noteSignIn(origin.ip);
    return (await this.admitDevice(request, origin)) ?? this.admitStranger(request.username, origin);
  }

  /** @returns undefined for whoever shows no device token of this account */
  private async admitDevice(
    { username, deviceToken }: LoginRequest,
    origin: Origin,
  ): Promise<AdmittedLogin | undefined> {
    const token = deviceToken === undefined ? undefined : this.format.decode(deviceToken);
    const user = token && (await this.accountOf(token, canonical(username)));
    if (!user) return undefined;
    const place: HashPlace = { lane: 'known', network: addressNetwork(origin.ip), subject: user.id };
    this.hasher.requireRoom(place);
    const caller = { userId: user.id, origin };
    const attempt = await this.attempts.admit('login-device', token.deviceId.toString('hex'), caller);
    return { user, place, ...attempt };
  }

  /** The account that the token was made for, if that is its name. */
  private async accountOf(token: DeviceToken, name: string): Promise<User | undefined> {
    const key = `${token.userId} ${token.credentialVersion}`;
    const now = this.clock.monotonic();
    const known = this.mismatches.get(key);
    if (known && now < known.at + REMEMBERED_MS && known.right !== sha256Hex(name)) return undefined;
    const user = await this.users.find(token.userId);
    const holder = user && belongsTo(token, user) ? user : undefined;
    if (holder?.usernameCanonical === name) return holder;
    this.mismatches.set(key, { right: holder && sha256Hex(holder.usernameCanonical), at: now });
    return undefined;
  }

  private async admitStranger(username: string, origin: Origin): Promise<AdmittedLogin> {
    const network = addressNetwork(origin.ip);
    const place: HashPlace = { lane: 'unknown', network, subject: network };
    this.hasher.requireRoom(place);
    const taken = await this.limits.takeAddress('login-address', this.callerAs(username, origin));
    const { user, attempt } = await this.admitByName(username, origin).catch(async (error: unknown) => {
      // What is not evaluated is no failure of that address, nor of its network.
      await taken.giveBack();
      throw error;
    });
    const settle =
      <T>(how: () => Promise<T>) =>
      async () => {
        try {
          return await how();
        } finally {
          await taken.giveBack();
        }
      };
    return {
      user,
      place,
      succeed: settle(() => attempt.succeed()),
      withdraw: settle(() => attempt.withdraw()),
    };
  }

  private async admitByName(username: string, origin: Origin): Promise<AdmittedStranger> {
    const key = sha256Hex(canonical(username));
    const closed = this.closedNames.get(key);
    if (closed && this.clock.monotonic() < closed.at + REMEMBERED_MS) {
      const admitted = await this.admitAs(closed.subject, username, origin);
      if (admitted) return admitted;
    }
    const at = this.clock.monotonic();
    const user = await this.users.findByUsername(username);
    const subject = subjectOf(username, user);
    try {
      const caller = { userId: user?.id ?? null, origin };
      return { user, attempt: await this.attempts.admit('login-account', subject, caller) };
    } catch (error) {
      if (error instanceof ApiError && error.code === 'rate_limited') {
        this.closedNames.set(key, { subject, at });
      }
      throw error;
    }
  }

  /**
   * Lets in under a name that was closed, before the account is looked up.
   *
   * @returns undefined where the name has gone to another since
   */
  private async admitAs(
    subject: string,
    username: string,
    origin: Origin,
  ): Promise<AdmittedStranger | undefined> {
    const attempt = await this.attempts.admit('login-account', subject, this.callerAs(username, origin));
    const user = await this.users.findByUsername(username).catch(async (error: unknown) => {
      await attempt.withdraw();
      throw error;
    });
    if (subjectOf(username, user) === subject) return { user, attempt };
    await attempt.withdraw();
    return undefined;
  }

  /** Whoever has the name is looked up only where a refusal is written down. */
  private callerAs(username: string, origin: Origin): Caller {
    return { userId: async () => (await this.users.findByUsername(username))?.id ?? null, origin };
  }

  /**
   * Counts a sign-in before anything of it is written that lasts. After the password has turned out right: nobody else learns
   * how often the owner comes, nor keeps him out.
   *
   * @throws ApiError `rate_limited`
   */
  countSuccess(userId: string, origin: Origin): Promise<Taken> {
    return this.limits.take('sign-in', userId, { userId, origin });
  }

  /** The token for a device that has just signed in: the one that it showed, if that is still good, or a new one. */
  deviceTokenFor(user: User, presented: string | undefined): string {
    const token = presented === undefined ? undefined : this.format.decode(presented);
    const known = token && belongsTo(token, user) ? token.deviceId : undefined;
    return this.format.encode({
      userId: user.id,
      credentialVersion: user.credentialVersion,
      deviceId: known ?? this.random.bytes(DEVICE_ID_BYTES),
    });
  }
}

/** Not a token of another account, nor one of an earlier password. */
function belongsTo(token: DeviceToken, user: User): boolean {
  return token.userId === user.id && token.credentialVersion === user.credentialVersion;
}

/** What a stranger's login is counted against. A name may be spelt like an account's id, and is not taken for it. */
function subjectOf(username: string, user: User | null): string {
  return user ? `account ${user.id}` : `name ${canonical(username)}`;
}
