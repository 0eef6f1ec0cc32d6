import { IsString } from 'class-validator';
import { MaxCharacters, MayBeAbsent } from '../core/field-rules';
import { IsPresentedPassword } from '../users/user-rules';

export class LoginRequest {
  /**
   * The user's unique name, in any case.
   * @example jane.doe
   */
  @IsString()
  @MaxCharacters(256)
  username: string;

  /**
   * The user's password, exactly as it was set.
   * @example tidal-lantern-47-orchid
   */
  @IsPresentedPassword()
  password: string;

  /**
   * The `deviceToken` of an earlier login from this device, if there was one. Any other text makes no difference.
   * @example dt_AQGaDbNkGYB7kLJ2M3mQ1xoAAAABf3K9c2VtYnJhbmNlLXJvdGF0ZTYw0pVh2uWzq1YkX8m4sTn6eRb7LcJd5FgA3ZoHiNwK
   */
  @MayBeAbsent()
  @IsString()
  @MaxCharacters(256)
  deviceToken?: string;
}

export class RefreshRequest {
  /**
   * The refresh token of the last login or refresh.
   * @example rt_AQGaDbNkGYB7kLJ2M3mQ1xoAAAABf3K9c2VtYnJhbmNlLXJvdGF0ZTYw0pVh2uWzq1YkX8m4sTn6eRb7LcJd5FgA3ZoHiNwK
   */
  @IsString()
  refreshToken: string;
}

/** Two tokens and their lifetimes. */
class Tokens {
  /**
   * The access token: a JWT, to be sent as `Authorization: Bearer …`.
   * @example eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwOi8vbG9jYWxob3N0OjMwMDAifQ.Zm9yIGlsbHVzdHJhdGlvbiBvbmx5LCBub3QgYSBzaWduYXR1cmU
   */
  token: string;

  /**
   * Seconds until the access token expires.
   * @example 3600
   */
  expires_in: number;

  /**
   * For the next refresh. Opaque: store it, send it back, and expect a new one with every answer.
   * @example rt_AQGaDbNkGYB7kLJ2M3mQ1xoAAAABf3K9c2VtYnJhbmNlLXJvdGF0ZTYw0pVh2uWzq1YkX8m4sTn6eRb7LcJd5FgA3ZoHiNwK
   */
  refreshToken: string;

  /**
   * Seconds until the session ends unless it is refreshed before.
   * @example 2592000
   */
  refresh_expires_in: number;
}

export class SignedInUser {
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
}

export class LoginResponse extends Tokens {
  /**
   * Keep it on this device and send it with the next login: wrong passwords that others send are then not counted
   * against it. It grants no access. Void after a change of the password.
   * @example dt_AQGaDbNkGYB7kLJ2M3mQ1xoAAAABf3K9c2VtYnJhbmNlLXJvdGF0ZTYw0pVh2uWzq1YkX8m4sTn6eRb7LcJd5FgA3ZoHiNwK
   */
  deviceToken: string;

  /** Who signed in. */
  user: SignedInUser;
}

export class RefreshResponse extends Tokens {}

export class LogoutResponse {
  /**
   * Always the same sentence.
   * @example 'Successfully logged out'
   */
  message: string;
}
