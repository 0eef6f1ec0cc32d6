import { ApiInstant, MayBeAbsent } from '../core/field-rules';
import { formatInstant } from '../core/instant';
import type { Profile } from './user.entity';
import { IsEmailAddress, IsNewPassword, IsUsername } from './user-rules';

export class SignUpRequest {
  /**
   * Unique without regard to case, kept as typed.
   * @example jane.doe
   */
  @IsUsername()
  username: string;

  /**
   * Unique without regard to case, kept as typed. You sign in with the user name, not with this.
   * @example jane.doe@example.com
   */
  @IsEmailAddress()
  email: string;

  /**
   * Taken exactly as sent. The least length is the setting `PASSWORD_MIN_LENGTH`, 8 characters unless configured. Refused
   * are passwords that are easy to guess (rule `isNotCommon`), that are made of the user name or the e-mail address
   * (`isNotPersonal`), or that are known to be stolen, where the operator has a service asked (`isNotBreached`).
   * @example tidal-lantern-47-orchid
   */
  @IsNewPassword()
  password: string;
}

export class UpdateProfileRequest {
  /**
   * The new user name.
   * @example jane.smith
   */
  @MayBeAbsent()
  @IsUsername()
  username?: string;

  /**
   * The new e-mail address.
   * @example jane.smith@example.com
   */
  @MayBeAbsent()
  @IsEmailAddress()
  email?: string;
}

export class UserProfile {
  /**
   * Stable, never given to anybody else.
   * @example user_01k9v3cde8f2mreav4z6w2x5td
   */
  id: string;

  /**
   * As last set; upper and lower case are kept.
   * @example jane.doe
   */
  username: string;

  /**
   * As last set; upper and lower case are kept.
   * @example jane.doe@example.com
   */
  email: string;

  /**
   * RFC 3339, UTC.
   * @example 2026-11-23T10:00:00Z
   */
  @ApiInstant()
  createdAt: string;
}

export function toProfile(profile: Profile): UserProfile {
  const { id, username, email, createdAt } = profile;
  return { id, username, email, createdAt: formatInstant(createdAt) };
}
