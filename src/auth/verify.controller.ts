import { Controller, Get, Query, Req, Res, UseFilters } from '@nestjs/common';
import { ApiOkResponse, ApiQuery, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { originOf } from '../access/call-origin';
import { AnyCredential, CurrentPrincipal } from '../access/decorators';
import type { Principal } from '../access/principal';
import { Refusals } from '../access/refusals';
import { holdsScope, SCOPE_SHAPE } from '../access/scopes';
import { ApiError } from '../core/errors';
import { AnswersEveryRequest } from '../http/route-traits';
import { VerdictFilter } from './verdict.filter';

const header = (description: string, example: string) => ({
  description,
  example,
  schema: { type: 'string' as const },
});

/** `scope`, and what it is mistyped as. Other names are a client's own, which some proxies hand on, and ask for nothing. */
const MEANS_SCOPE = /^scopes?(\[.*\])?$/is;

@ApiTags('For other services')
@Controller('auth')
@UseFilters(VerdictFilter)
export class VerifyController {
  constructor(private readonly refusals: Refusals) {}

  /**
   * Is this request's credential good?
   *
   * @remarks For a reverse proxy that asks before it lets a request through: nginx `auth_request`, Caddy `forward_auth`,
   * Traefik ForwardAuth, Envoy. The headers of the answer say who is calling; a 200 has no body. `GET`, `HEAD`, `POST`,
   * `PUT`, `PATCH`, `DELETE`, `OPTIONS` and `TRACE` get the same answer, whatever body comes along: 200, 401, 403 or 503. Any
   * other method is answered 405, and `CONNECT` 400.
   */
  @Get('verify')
  @AnyCredential()
  @AnswersEveryRequest()
  @ApiQuery({
    name: 'scope',
    required: false,
    description: 'Scopes that the credential must hold, separated by spaces. Without one of them: 403.',
    schema: { type: 'string' },
    example: 'invoices:read',
  })
  @ApiOkResponse({
    description: 'Let the request through. The headers say who is calling.',
    headers: {
      'X-Auth-User-Id': {
        ...header('The account that the caller acts for.', 'user_01k9v3cde8f2mreav4z6w2x5td'),
        required: true,
      },
      'X-Auth-Username': header(
        'What the account is called: as of the token, or of the last minute for a key. For people to read; a name can be given up and taken by somebody else, so decide by the id.',
        'jane.doe',
      ),
      'X-Auth-Credential': { ...header('`session` or `api-key`.', 'api-key'), required: true },
      'X-Auth-Credential-Id': {
        ...header('Id of the session or of the key.', 'key_01k9v3d4s7e9waxm8p2q5c6nbr'),
        required: true,
      },
      'X-Auth-Scopes': {
        ...header(
          'What the caller may do, separated by spaces; `*`: everything.',
          'users:read invoices:read',
        ),
        required: true,
      },
    },
  })
  verify(
    @CurrentPrincipal() principal: Principal,
    @Query() query: Record<string, string | string[]>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<never> | void {
    for (const [name, value] of Object.entries(query)) {
      if (!MEANS_SCOPE.test(name)) continue;
      if (name !== 'scope' || !holdsAll(principal, value)) return this.refuse(principal, request);
    }
    void reply
      .header('x-auth-user-id', principal.userId)
      .header('x-auth-credential', principal.credential)
      .header('x-auth-credential-id', principal.credentialId)
      .header('x-auth-scopes', principal.scopes.join(' '));
    if (principal.username !== undefined) void reply.header('x-auth-username', principal.username);
  }

  /** In here and not by an interceptor, which would cost every request that is let through. */
  private async refuse(principal: Principal, request: FastifyRequest): Promise<never> {
    const error = new ApiError('scope_missing');
    await this.refusals.note(error, principal, originOf(request));
    throw error;
  }
}

/** What is no scope at all is held by nobody: a slip in a proxy's configuration closes a door and opens none. */
function holdsAll({ scopes }: Principal, asked: string | string[]): boolean {
  const wanted = [asked].flat().flatMap((list) => list.split(' '));
  return wanted.every((scope) => SCOPE_SHAPE.test(scope) && holdsScope(scopes, scope));
}
