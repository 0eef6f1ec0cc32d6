import { Body, Controller, Delete, Get, HttpCode, Patch, Post, Query } from '@nestjs/common';
import { ApiBody, ApiTags } from '@nestjs/swagger';
import { plainAddress } from '../access/client-address';
import { CallOrigin, CurrentPrincipal, SessionOnly } from '../access/decorators';
import { IdParam } from '../access/id-param';
import type { Principal } from '../access/principal';
import { formatInstant } from '../core/instant';
import type { Origin } from '../core/origin';
import { ApiErrors } from '../openapi/api-errors.decorator';
import { ApiSuccess } from '../openapi/api-success.decorator';
import { ChangesAccount } from '../rate-limit/rate-limited.decorator';
import type { ApiKey } from './api-key.entity';
import {
  CHANGE_EXAMPLES,
  CREATION_EXAMPLES,
  CreateApiKeyRequest,
  CreatedApiKey,
  ExplainQuery,
  KeyExplanation,
  ListedApiKey,
  RotateApiKeyRequest,
  RotatedApiKey,
  UpdateApiKeyRequest,
} from './api-keys.dto';
import { ApiKeysService } from './api-keys.service';
import type { KeyOverview } from './key-overview';
import { KeyRotation } from './key-rotation';

const KeyId = () =>
  IdParam(
    'keyId',
    'key',
    'api_key_not_found',
    'The `keyId` from the creation of the key or from the list; not the key itself.',
  );

@ApiTags('API keys')
@Controller('auth/keys')
@SessionOnly()
export class ApiKeysController {
  constructor(
    private readonly keys: ApiKeysService,
    private readonly rotation: KeyRotation,
  ) {}

  /**
   * Create an API key
   *
   * @remarks Makes a key for server-to-server calls, to be sent as `X-API-Key`. The answer holds the key itself, this
   * once: store it now. Needs a sign-in of the last 15 minutes (setting `STEP_UP_MAX_AGE`). All fields are optional.
   */
  @ApiSuccess('The new key. `apiKey` is shown this once.')
  @Post()
  @ApiBody({ type: CreateApiKeyRequest, examples: CREATION_EXAMPLES })
  @ChangesAccount()
  @ApiErrors('recent_login_required', 'scope_not_held', 'api_key_limit_reached')
  async createApiKey(
    @CurrentPrincipal() principal: Principal,
    @Body() request: CreateApiKeyRequest,
    @CallOrigin() origin: Origin,
  ): Promise<CreatedApiKey> {
    const { key, secret } = await this.keys.create(principal, request, origin);
    return { keyId: key.id, apiKey: secret, ...describe(key, key.scopes.split(' ')) };
  }

  /**
   * List the account's API keys
   *
   * @remarks Newest first, at most 100. Never shows a key itself.
   */
  @ApiSuccess('All keys of the account, without their secrets; an empty list where there are none.')
  @Get()
  async listApiKeys(@CurrentPrincipal() { userId }: Principal): Promise<ListedApiKey[]> {
    return (await this.keys.list(userId)).map(toListed);
  }

  /**
   * Read one API key
   *
   * @remarks What the list shows of it. While a rotation overlaps, `oldSecret` tells whether the old secret is still in
   * use.
   */
  @ApiSuccess('The key, without its secret.')
  @Get(':keyId')
  @ApiErrors('api_key_not_found')
  async getApiKey(@CurrentPrincipal() { userId }: Principal, @KeyId() keyId: string): Promise<ListedApiKey> {
    return toListed(await this.keys.get(userId, keyId));
  }

  /**
   * Change an API key
   *
   * @remarks What is left out stays as it is. Holds at once on the instance that answers, within a second on every other.
   */
  @ApiSuccess('The key as it is from now on.')
  @Patch(':keyId')
  @ApiBody({ type: UpdateApiKeyRequest, examples: CHANGE_EXAMPLES })
  @ChangesAccount()
  @ApiErrors('recent_login_required', 'scope_not_held', 'api_key_not_found', 'api_key_reported')
  async updateApiKey(
    @CurrentPrincipal() principal: Principal,
    @KeyId() keyId: string,
    @Body() request: UpdateApiKeyRequest,
    @CallOrigin() origin: Origin,
  ): Promise<ListedApiKey> {
    return toListed(await this.keys.update(principal, keyId, request, origin));
  }

  /**
   * Give an API key a new secret
   *
   * @remarks The answer holds the new key, this once; `keyId` and everything else stay. The old secret works for
   * `overlapSeconds` more, and answers to it carry the headers `Deprecation` and `Sunset`; one of an earlier rotation ends
   * now. Needs a sign-in of the last 15 minutes (setting `STEP_UP_MAX_AGE`). A key that was reported as found works again
   * with its new secret.
   */
  @ApiSuccess('The key with its new secret, which is shown this once.')
  @Post(':keyId/rotate')
  @ChangesAccount()
  @ApiErrors('recent_login_required', 'api_key_not_found')
  async rotateApiKey(
    @CurrentPrincipal() principal: Principal,
    @KeyId() keyId: string,
    @Body() { overlapSeconds = 0 }: RotateApiKeyRequest,
    @CallOrigin() origin: Origin,
  ): Promise<RotatedApiKey> {
    const { overview, secret } = await this.rotation.rotate(principal, keyId, overlapSeconds, origin);
    const { key, scopes, oldSecret } = overview;
    return {
      keyId: key.id,
      apiKey: secret,
      ...describe(key, scopes),
      oldSecretEndsAt: oldSecret && formatInstant(oldSecret.endsAt),
    };
  }

  /**
   * Explain whether a use would be allowed
   *
   * @remarks A dry run for the owner: every check that a call with this key goes through, in order, with its outcome. Name
   * the scope and the client's address that you wonder about. Whoever merely presents a bad key learns none of this.
   */
  @ApiSuccess('Whether such a use would be let in, and what each check says.')
  @Get(':keyId/explain')
  @ApiErrors('validation_failed', 'api_key_not_found')
  async explainApiKey(
    @CurrentPrincipal() { userId }: Principal,
    @KeyId() keyId: string,
    @Query() { scope, ip }: ExplainQuery,
  ): Promise<KeyExplanation> {
    const address = ip && plainAddress(ip);
    const checks = await this.keys.explain(userId, keyId, { scope, address });
    const denied = checks.some(({ outcome }) => outcome === 'fail');
    return { decision: denied ? 'deny' : 'allow', checks };
  }

  /**
   * Delete an API key
   *
   * @remarks The key stops working at once on the instance that answers, within a second on every other.
   */
  @ApiSuccess('The key is gone.')
  @Delete(':keyId')
  @ChangesAccount()
  @HttpCode(204)
  @ApiErrors('api_key_not_found')
  async deleteApiKey(
    @CurrentPrincipal() principal: Principal,
    @KeyId() keyId: string,
    @CallOrigin() origin: Origin,
  ): Promise<void> {
    await this.keys.delete(principal, keyId, origin);
  }
}

function describe(key: ApiKey, scopes: string[]) {
  return {
    name: key.name,
    createdAt: formatInstant(key.createdAt),
    scopes,
    enabled: key.disabledAt === null && key.reportedAt === null,
    expiresAt: key.expiresAt && formatInstant(key.expiresAt),
    allowedIps: key.allowedIps?.split(' ') ?? null,
  };
}

function toListed({ key, scopes, lastUsedAt, oldSecret }: KeyOverview): ListedApiKey {
  return {
    keyId: key.id,
    ...describe(key, scopes),
    lastUsed: lastUsedAt && formatInstant(lastUsedAt),
    reportedAt: key.reportedAt && formatInstant(key.reportedAt),
    oldSecret: oldSecret && {
      endsAt: formatInstant(oldSecret.endsAt),
      lastUsed: oldSecret.lastUsedAt && formatInstant(oldSecret.lastUsedAt),
      inUse: oldSecret.inUse,
      quietSince: formatInstant(oldSecret.quietSince),
    },
  };
}
