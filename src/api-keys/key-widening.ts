import { coversRanges } from '../access/address-ranges';
import { coversScopes, parseScopes } from '../access/scopes';
import type { ApiKey } from './api-key.entity';
import type { UpdateApiKeyRequest } from './api-keys.dto';

/**
 * Whether the key could do more after the change than before: something else, for longer, from elsewhere, or at all. What only
 * takes away from it is free, as whoever closes a hole must not be made to wait.
 */
export function widens(
  { scopes, expiresAt, allowedIps, disabledAt }: ApiKey,
  request: UpdateApiKeyRequest,
): boolean {
  return (
    (request.scopes !== undefined && !coversScopes(parseScopes(scopes), request.scopes)) ||
    (expiresAt !== null && request.expiresAt !== undefined && !isNoLater(request.expiresAt, expiresAt)) ||
    (allowedIps !== null &&
      request.allowedIps !== undefined &&
      (request.allowedIps === null || !coversRanges(allowedIps.split(' '), request.allowedIps))) ||
    (disabledAt !== null && request.enabled === true)
  );
}

function isNoLater(end: string | null, before: Date): boolean {
  return end !== null && new Date(end) <= before;
}
