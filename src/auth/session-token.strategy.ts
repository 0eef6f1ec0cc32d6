import { Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import type { FastifyRequest } from 'fastify';
import { Strategy } from 'passport-jwt';
import { SESSION_STRATEGY } from '../access/access.guard';
import type { Principal } from '../access/principal';
import { ALL_SCOPES } from '../access/scopes';
import { ApiError } from '../core/errors';
import { KeyRing } from '../crypto/key-ring';
import { signingKeyOf } from '../crypto/signing-key';
import { RevocationFeed } from '../revocation/revocation-feed';
import { SessionUsage } from '../sessions/session-usage';
import { SessionsService } from '../sessions/sessions.service';
import { type AccessTokenClaims, AccessTokens } from './access-tokens';

/**
 * `Bearer` in any case, one token, nothing behind it (RFC 6750 section 2.1). Its header is `{"alg":"HS256","typ":"JWT"}`,
 * compared as text, so that there is no `none`, `crit`, `jku` or `kid`; its claims are an object; its signature has 32
 * bytes. What is not like this never reaches the library, which throws at claims that are `null`.
 */
const AUTHORIZATION =
  /^[Bb][Ee][Aa][Rr][Ee][Rr] (eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9\.eyJ[\w-]+\.[\w-]{43})$/;

/** Checks access tokens: signature by `passport-jwt`, claims by `AccessTokens`, revocation by the feed. */
@Injectable()
export class SessionTokenStrategy extends PassportStrategy(Strategy, SESSION_STRATEGY) {
  constructor(
    keys: KeyRing,
    private readonly tokens: AccessTokens,
    private readonly feed: RevocationFeed,
    private readonly sessions: SessionsService,
    private readonly usage: SessionUsage,
  ) {
    super({
      jwtFromRequest: extractToken,
      secretOrKeyProvider: (_request, token, done) =>
        done(null, signingKeyOf(token as string, keys.accessToken) as never),
      algorithms: ['HS256'],
      // Both are judged with the other claims, on the application's clock.
      ignoreExpiration: true,
      jsonWebTokenOptions: { ignoreNotBefore: true },
    });
  }

  /**
   * Passport's contract: called with the payload of a token whose signature is good.
   *
   * @throws ApiError `token_invalid`, `token_expired`, `token_revoked`, `service_unavailable`
   */
  async validate(payload: unknown): Promise<Principal> {
    const refusal = this.tokens.refusalOf(payload);
    if (refusal) throw new ApiError(refusal);
    const claims = payload as AccessTokenClaims;
    if (await this.isRevoked(claims.sid)) throw new ApiError('token_revoked');
    this.usage.note(claims.sid);
    return {
      userId: claims.sub,
      credential: 'session',
      credentialId: claims.sid,
      scopes: [ALL_SCOPES],
      authenticatedAt: new Date(claims.auth_time * 1000),
    };
  }

  private async isRevoked(sessionId: string): Promise<boolean> {
    const status = this.feed.statusOf(sessionId);
    if (status !== 'unknown') return status === 'revoked';
    return !(await this.sessions.isLive(sessionId));
  }
}

function extractToken(request: unknown): string | null {
  return AUTHORIZATION.exec((request as FastifyRequest).headers.authorization ?? '')?.[1] ?? null;
}
