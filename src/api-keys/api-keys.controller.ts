import { Body, Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CallOrigin, CurrentPrincipal, SessionOnly } from '../access/decorators';
import type { Principal } from '../access/principal';
import { formatInstant } from '../core/instant';
import type { Origin } from '../core/origin';
import { ApiErrors } from '../openapi/api-errors.decorator';
import type { ApiKey } from './api-key.entity';
import { CreateApiKeyRequest, CreatedApiKey, ListedApiKey } from './api-keys.dto';
import { ApiKeysService } from './api-keys.service';

@ApiTags('API keys')
@Controller('auth/keys')
@SessionOnly()
export class ApiKeysController {
  constructor(private readonly keys: ApiKeysService) {}

  /**
   * Create an API key
   *
   * @remarks Makes a key for server-to-server calls, to be sent as `X-API-Key`. The answer holds the key itself, this
   * once: store it now. Needs a sign-in of the last 15 minutes (setting `STEP_UP_MAX_AGE`). All fields are optional.
   */
  @Post()
  @ApiErrors('recent_login_required', 'scope_not_held', 'api_key_limit_reached')
  async createApiKey(
    @CurrentPrincipal() principal: Principal,
    @Body() request: CreateApiKeyRequest,
    @CallOrigin() origin: Origin,
  ): Promise<CreatedApiKey> {
    const { key, secret } = await this.keys.create(principal, request, origin);
    return { keyId: key.id, apiKey: secret, ...describe(key) };
  }

  /**
   * List the account's API keys
   *
   * @remarks Newest first, at most 100. Never shows a key itself.
   */
  @Get()
  async listApiKeys(@CurrentPrincipal() { userId }: Principal): Promise<ListedApiKey[]> {
    const keys = await this.keys.list(userId);
    return keys.map(({ key, lastUsedAt }) => ({
      keyId: key.id,
      ...describe(key),
      lastUsed: lastUsedAt && formatInstant(lastUsedAt),
    }));
  }

  /**
   * Delete an API key
   *
   * @remarks The key stops working at once on the instance that answers, within a second on every other.
   */
  @Delete(':keyId')
  @HttpCode(204)
  @ApiErrors('api_key_not_found')
  async deleteApiKey(
    @CurrentPrincipal() { userId }: Principal,
    @Param('keyId') keyId: string,
    @CallOrigin() origin: Origin,
  ): Promise<void> {
    await this.keys.delete(userId, keyId, origin);
  }
}

function describe(key: ApiKey) {
  return {
    name: key.name,
    createdAt: formatInstant(key.createdAt),
    scopes: key.scopes.split(' '),
    expiresAt: key.expiresAt && formatInstant(key.expiresAt),
    allowedIps: key.allowedIps?.split(' ') ?? null,
  };
}
