import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiConsumes, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { ApiKeyOnly, CurrentPrincipal } from '../access/decorators';
import type { Principal } from '../access/principal';
import { INTROSPECT } from '../access/scopes';
import { ReadsForms } from '../http/route-traits';
import { ACTIVE_EXAMPLE, IntrospectionRequest, IntrospectionResponse } from './introspection.dto';
import { IntrospectionService } from './introspection.service';

@ApiTags('For other services')
@Controller('auth/introspect')
export class IntrospectionController {
  constructor(private readonly introspection: IntrospectionService) {}

  /**
   * Ask what a token or key is good for
   *
   * @remarks RFC 7662. Needs an API key with the scope `introspect`, which sees the tokens and keys of its own account; with
   * `introspect:all`, which an operator alone grants, those of all. Whatever is not active, or not to be seen, is answered
   * `{"active": false}` and nothing else.
   */
  @Post()
  @HttpCode(200)
  @ApiKeyOnly(INTROSPECT)
  @ReadsForms()
  @ApiConsumes('application/json', 'application/x-www-form-urlencoded')
  @ApiOkResponse({
    type: IntrospectionResponse,
    description: 'What it is good for; of whatever is not to be accepted, only `active: false`.',
    examples: { default: { summary: 'An access token that is active', value: ACTIVE_EXAMPLE } },
  })
  introspect(
    @CurrentPrincipal() principal: Principal,
    @Body() request: IntrospectionRequest,
  ): Promise<IntrospectionResponse> {
    return this.introspection.introspect(principal, request);
  }
}
