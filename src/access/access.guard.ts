import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '../core/errors';
import { toNumericDate } from '../core/instant';
import { originOf } from './call-origin';
import { timesSent } from '../http/raw-headers';
import { clientAddress } from './client-address';
import { ACCESS_POLICY, type AccessPolicy, type AuthenticatedRequest } from './decorators';
import type { Principal } from './principal';
import { AddressRefused, type Holder, Refusals } from './refusals';
import { holdsScope } from './scopes';
import { API_KEY_STRATEGY, SESSION_STRATEGY, Strategies } from './strategies';

/** The header of an API key. */
export const API_KEY_HEADER = 'x-api-key';

/** A key that was found good. Whether it may be used from where the request comes is for the one who sees the request. */
export interface ApiKeyCredential {
  /** Whose it is. */
  holder: Holder;
  /** The caller, if the key may be used from `address`; that use counts as the key's last. */
  admit(address: string): Principal | undefined;
  /** Since when another secret has taken the place of this one, if one has. */
  replacedSince: Date | undefined;
  /** When it stops working, where that is near. */
  endsSoon: Date | undefined;
}

/**
 * RFC 9745 and RFC 8594: whoever calls with an old secret, or with a key that is about to end, is told so with every answer,
 * refusals included.
 */
function announceEnd(reply: FastifyReply, { replacedSince, endsSoon }: ApiKeyCredential): void {
  if (replacedSince) void reply.header('deprecation', `@${toNumericDate(replacedSince)}`);
  if (endsSoon) void reply.header('sunset', endsSoon.toUTCString());
}

/**
 * Runs before every route. Closed by default: a route that declares nothing accepts sessions only. `@Public()` opens it,
 * `@RequireScopes()` and `@AnyCredential()` accept API keys as well, `@ApiKeyOnly()` accepts nothing but API keys.
 */
@Injectable()
export class AccessGuard implements CanActivate {
  /** Of each route that was called. */
  private readonly policies = new Map<unknown, Map<unknown, AccessPolicy>>();

  constructor(
    private readonly reflector: Reflector,
    private readonly refusals: Refusals,
    private readonly strategies: Strategies,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const policy = this.policyOf(context);
    if (policy.kind === 'public') return true;
    const http = context.switchToHttp();
    const request = http.getRequest<AuthenticatedRequest>();
    try {
      request.user = await (requireOneCredential(request) === 'api-key'
        ? this.authenticateByKey(request, http.getResponse<FastifyReply>())
        : this.authenticateByToken(request));
      authorize(request.user, policy);
    } catch (error) {
      const holder = error instanceof AddressRefused ? error.holder : (request.user as Holder | undefined);
      await this.refusals.note(error, holder, originOf(request));
      throw error;
    }
    return true;
  }

  private policyOf(context: ExecutionContext): AccessPolicy {
    const [handler, controller] = [context.getHandler(), context.getClass()];
    const ofController = this.policies.get(controller) ?? new Map<unknown, AccessPolicy>();
    this.policies.set(controller, ofController);
    const known = ofController.get(handler);
    if (known) return known;
    const declared = this.reflector.getAllAndOverride<AccessPolicy | undefined>(ACCESS_POLICY, [
      handler,
      controller,
    ]);
    const policy = declared ?? { kind: 'session' };
    ofController.set(handler, policy);
    return policy;
  }

  private async authenticateByToken(request: FastifyRequest): Promise<Principal> {
    const principal = await this.strategies.run(SESSION_STRATEGY, request);
    if (!principal) throw new ApiError('token_invalid');
    return principal as Principal;
  }

  private async authenticateByKey(request: FastifyRequest, reply: FastifyReply): Promise<Principal> {
    const key = (await this.strategies.run(API_KEY_STRATEGY, request)) as ApiKeyCredential | undefined;
    if (!key) throw new ApiError('api_key_invalid');
    const principal = key.admit(clientAddress(request));
    if (!principal) throw new AddressRefused(key.holder);
    announceEnd(reply, key);
    return principal;
  }
}

/**
 * What is shown.
 *
 * @throws ApiError `authentication_required` where it is nothing, `ambiguous_credentials` where it is more than one
 */
function requireOneCredential(request: FastifyRequest): Principal['credential'] {
  const tokens = timesSent(request, 'authorization');
  const keys = timesSent(request, API_KEY_HEADER);
  // Of two, a proxy in front may have looked at the other one.
  if (tokens + keys > 1) throw new ApiError('ambiguous_credentials');
  if (tokens + keys === 0) throw new ApiError('authentication_required');
  return keys === 1 ? 'api-key' : 'session';
}

function authorize(principal: Principal, policy: AccessPolicy): void {
  const isSession = principal.credential === 'session';
  if (policy.kind === 'api-key' ? isSession : policy.kind === 'session' && !isSession) {
    throw new ApiError(isSession ? 'api_key_required' : 'session_required');
  }
  // Scopes bound what a key may do here. A signed-in user does what the user may.
  if (isSession || !('scopes' in policy)) return;
  const lacking = policy.scopes.some((scope) => !holdsScope(principal.scopes, scope));
  if (lacking) throw new ApiError('scope_missing');
}
