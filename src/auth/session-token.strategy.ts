import { Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import type { FastifyRequest } from 'fastify';
import { Strategy } from 'passport-jwt';
import { SESSION_STRATEGY, Strategies } from '../access/strategies';
import type { Principal } from '../access/principal';
import { KeyRing } from '../crypto/key-ring';
import { signingKeyOf } from '../crypto/signing-key';
import { ACCESS_TOKEN, SessionTokens } from './session-tokens';

/** `Bearer` in any case, one token, nothing behind it (RFC 6750 section 2.1). */
const AUTHORIZATION = /^[Bb][Ee][Aa][Rr][Ee][Rr] (\S+)$/;

/** Checks access tokens: signature by `passport-jwt`, everything else by `SessionTokens`. */
@Injectable()
export class SessionTokenStrategy extends PassportStrategy(Strategy, SESSION_STRATEGY) {
  constructor(
    keys: KeyRing,
    private readonly tokens: SessionTokens,
    strategies: Strategies,
  ) {
    super({
      jwtFromRequest: extractToken,
      secretOrKeyProvider: (_request, token, done) =>
        done(null, signingKeyOf(token as string, keys.accessToken) as never),
      algorithms: ['HS256'],
      // Both are judged with the other claims, on the application's clock.
      ignoreExpiration: true,
      jsonWebTokenOptions: { ignoreNotBefore: true },
      passReqToCallback: true,
    });
    strategies.add(SESSION_STRATEGY, this);
  }

  /** Passport's contract: lets in, fails, or hands on trouble of ours. A token that was seen before is not verified again. */
  override authenticate(request: Parameters<Strategy['authenticate']>[0], options?: unknown): void {
    const token = extractToken(request);
    const claims = token === null ? undefined : this.tokens.recall(token);
    if (!claims) return super.authenticate(request, options);
    this.tokens.admit(claims).then(
      (principal) => this.success(principal),
      (error: Error) => this.error(error),
    );
  }

  /**
   * Passport's contract: called with the payload of a token whose signature is good.
   *
   * @throws ApiError `token_invalid`, `token_expired`, `token_revoked`, `service_unavailable`
   */
  async validate(request: FastifyRequest, payload: unknown): Promise<Principal> {
    return this.tokens.admit(this.tokens.learn(extractToken(request) ?? '', payload));
  }
}

function extractToken(request: unknown): string | null {
  const token = AUTHORIZATION.exec((request as FastifyRequest).headers.authorization ?? '')?.[1];
  return token !== undefined && ACCESS_TOKEN.test(token) ? token : null;
}
