import { Injectable } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { LRUCache } from 'lru-cache';
import type { Principal } from '../access/principal';
import { ALL_SCOPES, parseScopes } from '../access/scopes';
import { ApiError } from '../core/errors';
import { KeyRing } from '../crypto/key-ring';
import { signingKeyOf } from '../crypto/signing-key';
import { RevocationFeed } from '../revocation/revocation-feed';
import { SessionUsage } from '../sessions/session-usage';
import { SessionsService } from '../sessions/sessions.service';
import { type AccessTokenClaims, AccessTokens } from './access-tokens';

/**
 * The one form of an access token. Its header is `{"alg":"HS256","typ":"JWT"}`, compared as text, so that there is no
 * `none`, `crit`, `jku` or `kid`; its claims are an object; its signature has 32 bytes, the two bits that base64url has too
 * many being zero. What is not like this never reaches the library, which throws at claims that are `null`.
 */
export const ACCESS_TOKEN = /^eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9\.eyJ[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]$/;

/** Tokens whose claims are remembered, at most: a kilobyte or two each, and up to five with the most scopes. */
export const MOST_KNOWN_TOKENS = 10_000;

/** Tells whether an access token lets somebody in, and whom: claims by `AccessTokens`, revocation by the feed. */
@Injectable()
export class SessionTokens {
  /**
   * What well-signed tokens claim, by their whole text. A token comes with every request, and neither its signature nor its
   * claims can change; whether they still let anybody in is asked each time.
   */
  private readonly known = new LRUCache<string, AccessTokenClaims>({ max: MOST_KNOWN_TOKENS });

  constructor(
    private readonly jwt: JwtService,
    private readonly keys: KeyRing,
    private readonly tokens: AccessTokens,
    private readonly feed: RevocationFeed,
    private readonly sessions: SessionsService,
    private readonly usage: SessionUsage,
  ) {}

  /** What a token claims that was seen before, and found to be one of ours. */
  recall(token: string): AccessTokenClaims | undefined {
    return this.known.get(token);
  }

  /**
   * What a token claims, given the payload that its signature was found good for, and remembers it.
   *
   * @throws ApiError `token_invalid` where it is none that this service would write
   */
  learn(token: string, payload: unknown): AccessTokenClaims {
    const claims = isSpelled(token, payload) ? this.tokens.read(payload) : undefined;
    if (!claims) throw new ApiError('token_invalid');
    this.known.set(token, claims);
    return claims;
  }

  /**
   * Whom these claims let in.
   *
   * @throws ApiError `token_invalid`, `token_expired`, `token_revoked`, `service_unavailable`
   */
  async admit(claims: AccessTokenClaims): Promise<Principal> {
    const refusal = this.tokens.refusalOf(claims);
    if (refusal) throw new ApiError(refusal);
    if (await this.isRevoked(claims.sid)) throw new ApiError('token_revoked');
    this.usage.note(claims.sid);
    return {
      userId: claims.sub,
      username: claims.preferred_username,
      credential: 'session',
      credentialId: claims.sid,
      scopes: claims.scope === undefined ? [ALL_SCOPES] : parseScopes(claims.scope),
      authenticatedAt: new Date(claims.auth_time * 1000),
    };
  }

  /**
   * The claims of a token that would be let in, or undefined for any other text. Not yet a use: see `noteUse`.
   *
   * @throws ApiError `service_unavailable`
   */
  async inspect(token: string): Promise<AccessTokenClaims | undefined> {
    if (!ACCESS_TOKEN.test(token)) return undefined;
    const payload = this.verifySignature(token);
    if (!isSpelled(token, payload)) return undefined;
    const claims = this.tokens.read(payload);
    if (!claims || this.tokens.refusalOf(claims)) return undefined;
    return (await this.isRevoked(claims.sid)) ? undefined : claims;
  }

  /** Notes that the session of a token was used just now. */
  noteUse({ sid }: AccessTokenClaims): void {
    this.usage.note(sid);
  }

  private verifySignature(token: string): unknown {
    try {
      return this.jwt.verify(token, {
        // A KeyObject, as at signing; the declared type knows of text and Buffers only.
        secret: signingKeyOf(token, this.keys.accessToken) as never,
        algorithms: ['HS256'],
        // Both are judged with the other claims, on the application's clock.
        ignoreExpiration: true,
        ignoreNotBefore: true,
      });
    } catch {
      // Whatever the library has against it, it is no token of ours.
      return undefined;
    }
  }

  private async isRevoked(sessionId: string): Promise<boolean> {
    const status = this.feed.statusOf(sessionId);
    if (status !== 'unknown') return status === 'revoked';
    return !(await this.sessions.isLive(sessionId));
  }
}

/**
 * Whether the claims, written as this service writes them, give the text that was sent. So there is one spelling of a token,
 * and no claim that another reader of it would find twice, or find different.
 */
function isSpelled(token: string, payload: unknown): boolean {
  return Buffer.from(JSON.stringify(payload) ?? '').toString('base64url') === token.split('.')[1];
}
