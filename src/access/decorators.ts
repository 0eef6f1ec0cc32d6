import {
  applyDecorators,
  createParamDecorator,
  type ExecutionContext,
  SetMetadata,
  UseInterceptors,
} from '@nestjs/common';
import { ApiBearerAuth, ApiSecurity } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { ErrorCode } from '../core/errors';
import type { Origin } from '../core/origin';
import { ApiErrors } from '../openapi/api-errors.decorator';
import { originOf } from './call-origin';
import type { Principal } from './principal';
import { RefusalInterceptor } from './refusal.interceptor';

/** Who may call a route. Without any of the decorators below: a session only. */
export type AccessPolicy =
  | { kind: 'public' }
  | { kind: 'session' }
  | { kind: 'scopes'; scopes: readonly string[] }
  | { kind: 'api-key'; scopes: readonly string[] };

const TOKEN_REFUSALS = [
  'ambiguous_credentials',
  'authentication_required',
  'token_invalid',
  'token_expired',
  'token_revoked',
] as const satisfies ErrorCode[];

export const ACCESS_POLICY = 'latchkey:access-policy';

const policy = (value: AccessPolicy) => SetMetadata(ACCESS_POLICY, value);

/** Anyone may call; credentials are not looked at. The list of these routes is a test's expectation. */
export const Public = () => applyDecorators(policy({ kind: 'public' }), ApiSecurity({}));

/** A signed-in user only: API keys are refused (403). What the operation itself refuses is written down. */
export const SessionOnly = () =>
  applyDecorators(
    policy({ kind: 'session' }),
    UseInterceptors(RefusalInterceptor),
    ApiBearerAuth('bearer'),
    ApiErrors(...TOKEN_REFUSALS, 'session_required'),
  );

/** A session, or an API key that holds all of these scopes. */
export const RequireScopes = (...scopes: string[]) =>
  applyDecorators(
    policy({ kind: 'scopes', scopes }),
    ApiBearerAuth('bearer'),
    ApiSecurity('apiKey'),
    ApiErrors(...TOKEN_REFUSALS, 'api_key_invalid', 'scope_missing'),
  );

/** An API key that holds all of these scopes; a signed-in user is refused (403). */
export const ApiKeyOnly = (...scopes: string[]) =>
  applyDecorators(
    policy({ kind: 'api-key', scopes }),
    ApiSecurity('apiKey'),
    ApiErrors(...TOKEN_REFUSALS, 'api_key_invalid', 'api_key_required', 'scope_missing'),
  );

/**
 * Any working credential, whatever its scopes. For a route whose `VerdictFilter` makes a 401 of every refusal, two credentials at once
 * included.
 */
export const AnyCredential = () =>
  applyDecorators(
    policy({ kind: 'scopes', scopes: [] }),
    ApiBearerAuth('bearer'),
    ApiSecurity('apiKey'),
    ApiErrors(
      ...TOKEN_REFUSALS.filter((code) => code !== 'ambiguous_credentials'),
      'api_key_invalid',
      'scope_missing',
    ),
  );

/** The request once a guard has let it in. */
export interface AuthenticatedRequest extends FastifyRequest {
  user: Principal;
}

/** The caller. On protected routes only. */
export const CurrentPrincipal = createParamDecorator(
  (_: unknown, context: ExecutionContext): Principal =>
    context.switchToHttp().getRequest<AuthenticatedRequest>().user,
);

/** Tells whether the client has hung up, so that nobody is there to take the answer. */
export const HasHungUp = createParamDecorator((_: unknown, context: ExecutionContext): (() => boolean) => {
  const { socket } = context.switchToHttp().getRequest<FastifyRequest>().raw;
  return () => !socket.writable;
});

/** Whence the request came. */
export const CallOrigin = createParamDecorator((_: unknown, context: ExecutionContext): Origin =>
  originOf(context.switchToHttp().getRequest()),
);
