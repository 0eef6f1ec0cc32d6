import { Injectable } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { ALL_SCOPES } from '../access/scopes';
import { Config } from '../config/config';
import { Clock } from '../core/clock';
import type { ErrorCode } from '../core/errors';
import { isId } from '../core/ids';
import { toNumericDate } from '../core/instant';
import { Random } from '../core/random';
import type { SessionHolder } from '../sessions/held-session';
import type { SessionGrant } from '../sessions/session-grants';

/** Seconds by which the clock of an instance that issued a token may be ahead. Expiry has no such leeway. */
const CLOCK_LEEWAY_SECONDS = 5;

/** 16 random bytes. */
const TOKEN_ID = /^[\w-]{22}$/;

/** The claims of an access token (RFC 7519 section 4.1; `sid` and `auth_time` as in OpenID Connect). */
export interface AccessTokenClaims {
  iss: string;
  aud: string;
  /** The account. */
  sub: string;
  /** The session. */
  sid: string;
  /** Unique to this token. */
  jti: string;
  iat: number;
  exp: number;
  /** Never issued; heeded where it stands. */
  nbf?: number;
  /** When the password was shown, in seconds. */
  auth_time: number;
  /** What the account was called when the token was issued. */
  preferred_username?: string;
  /** What the account may do, where that is not everything. */
  scope?: string;
}

/** An access token and how long it is good for. */
export interface IssuedAccessToken {
  token: string;
  /** Seconds. */
  expiresIn: number;
}

/** Issues access tokens and judges their claims. */
@Injectable()
export class AccessTokens {
  constructor(
    private readonly jwt: JwtService,
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly random: Random,
  ) {}

  /** Who the holder is and what he may do goes into the token, so that nobody has to look it up for each request. */
  issue(grant: SessionGrant, holder: SessionHolder): IssuedAccessToken {
    const iat = toNumericDate(grant.issuedAt);
    const exp = toNumericDate(grant.accessTokenExpiry);
    const claims: AccessTokenClaims = {
      iss: this.config.jwtIssuer,
      aud: this.config.jwtAudience,
      sub: grant.userId,
      sid: grant.sessionId,
      jti: this.random.bytes(16).toString('base64url'),
      iat,
      exp,
      auth_time: toNumericDate(grant.authenticatedAt),
      preferred_username: holder.username,
      ...(holder.scopes !== ALL_SCOPES && { scope: holder.scopes }),
    };
    return { token: this.jwt.sign(claims), expiresIn: exp - iat };
  }

  /**
   * What a well-signed payload claims, or undefined where this service would not have written it. The library that checks the
   * signature would accept a token without `exp`, an infinite one, and an array of audiences.
   */
  read(payload: unknown): AccessTokenClaims | undefined {
    if (!isClaims(payload)) return undefined;
    const { jwtIssuer, jwtAudience } = this.config;
    return payload.iss === jwtIssuer && payload.aud === jwtAudience ? payload : undefined;
  }

  /** Why these claims do not let anybody in now, or undefined if they do. */
  refusalOf({ iat, nbf, exp }: AccessTokenClaims): ErrorCode | undefined {
    const now = this.clock.now().getTime() / 1000;
    // Each the way round that a time that is none lets nobody in.
    if (!(iat <= now + CLOCK_LEEWAY_SECONDS)) return 'token_invalid';
    if (nbf !== undefined && !(nbf <= now + CLOCK_LEEWAY_SECONDS)) return 'token_invalid';
    return now < exp ? undefined : 'token_expired';
  }
}

function isClaims(payload: unknown): payload is AccessTokenClaims {
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) return false;
  const { iss, aud, sub, sid, jti, iat, exp, nbf, auth_time, preferred_username, scope } = payload as Record<
    string,
    unknown
  >;
  return (
    [iss, aud].every((claim) => typeof claim === 'string') &&
    isId('user', sub) &&
    isId('sess', sid) &&
    typeof jti === 'string' &&
    TOKEN_ID.test(jti) &&
    // Tokens of an earlier release have no name in them.
    [preferred_username, scope].every((claim) => claim === undefined || typeof claim === 'string') &&
    [iat, exp, auth_time].every(isNumericDate) &&
    (nbf === undefined || isNumericDate(nbf))
  );
}

function isNumericDate(claim: unknown): boolean {
  return Number.isSafeInteger(claim) && (claim as number) >= 0;
}
