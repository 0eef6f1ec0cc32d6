import { Injectable } from '@nestjs/common';
import { plainAddress } from '../access/client-address';
import type { Principal } from '../access/principal';
import { holdsScope, INTROSPECT_ALL } from '../access/scopes';
import { ApiKeyVerifier } from '../api-keys/api-key-verifier';
import { earlier, toNumericDate } from '../core/instant';
import { UsersService } from '../users/users.service';
import { INACTIVE, type IntrospectionRequest, type IntrospectionResponse } from './introspection.dto';
import { SessionTokens } from './session-tokens';

const API_KEY_PREFIX = 'sk_';

/** Tells a service what the token or key that it was shown is good for (RFC 7662). */
@Injectable()
export class IntrospectionService {
  constructor(
    private readonly tokens: SessionTokens,
    private readonly keys: ApiKeyVerifier,
    private readonly users: UsersService,
  ) {}

  /**
   * What is known of it, if it is active and the caller may see it; otherwise just that it is not active. Refresh tokens are
   * never active here: no service has any business with them.
   *
   * @throws ApiError `service_unavailable`
   */
  async introspect(principal: Principal, request: IntrospectionRequest): Promise<IntrospectionResponse> {
    const { token } = request;
    return token.startsWith(API_KEY_PREFIX)
      ? this.introspectKey(principal, token, request.ip)
      : this.introspectToken(principal, token);
  }

  private async introspectKey(
    principal: Principal,
    presented: string,
    ip: string | undefined,
  ): Promise<IntrospectionResponse> {
    const key = await this.keys.inspect(presented, ip && plainAddress(ip));
    if (!key || !maySee(principal, key.userId)) return INACTIVE;
    this.keys.noteUse(key);
    const ends = [key.expiresAt, key.retirement?.until].filter((end) => end instanceof Date);
    return {
      active: true,
      sub: key.userId,
      username: key.username,
      scope: key.effectiveScopes.join(' '),
      ...(ends.length > 0 && { exp: toNumericDate(ends.reduce(earlier)) }),
      iat: toNumericDate(key.issuedAt),
      client_id: key.keyId,
      token_type: 'api-key',
    };
  }

  private async introspectToken(principal: Principal, presented: string): Promise<IntrospectionResponse> {
    const claims = await this.tokens.inspect(presented);
    if (!claims || !maySee(principal, claims.sub)) return INACTIVE;
    const user = await this.users.find(claims.sub);
    if (!user || user.disabledAt !== null) return INACTIVE;
    this.tokens.noteUse(claims);
    return {
      active: true,
      sub: user.id,
      username: user.username,
      scope: user.scopes,
      exp: claims.exp,
      iat: claims.iat,
      token_type: 'Bearer',
      sid: claims.sid,
    };
  }
}

function maySee({ userId, scopes }: Principal, ownerId: string): boolean {
  return userId === ownerId || holdsScope(scopes, INTROSPECT_ALL);
}
