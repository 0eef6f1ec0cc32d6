import { IsString } from 'class-validator';
import {
  ApiInstant,
  IsVisible,
  IsWellFormed,
  MaxCharacters,
  MayBeAbsent,
  MinCharacters,
} from '../core/field-rules';
import { IsAddressRangeList, IsInstant, IsScopeList } from './api-key-rules';

export class CreateApiKeyRequest {
  /**
   * What its owner calls it, in any script; kept as typed. Default: `API key`.
   * @example 'My Integration Key'
   */
  @MayBeAbsent()
  @IsString()
  @MinCharacters(1)
  @MaxCharacters(100)
  @IsWellFormed()
  @IsVisible()
  name?: string;

  /**
   * What the key may do: `resource:action` for your own APIs, or built-in `users:read` and `introspect`. Never more than
   * its owner may. Default: `users:read`.
   * @example ["users:read", "invoices:write"]
   */
  @MayBeAbsent()
  @IsScopeList()
  scopes?: string[];

  /**
   * When the key stops working, RFC 3339. Default: never.
   * @example 2099-12-31T23:59:59Z
   */
  @MayBeAbsent()
  @IsInstant()
  expiresAt?: string;

  /**
   * Addresses and CIDR ranges, IPv4 or IPv6, that the key may be used from. Default: from anywhere.
   * @example ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"]
   */
  @MayBeAbsent()
  @IsAddressRangeList()
  allowedIps?: string[];
}

/** What an owner sees of a key, whenever. */
class ApiKeyDescription {
  /**
   * Names the key; grants nothing.
   * @example key_01k9v3d4s7e9waxm8p2q5c6nbr
   */
  keyId: string;

  /**
   * What its owner calls it.
   * @example 'My Integration Key'
   */
  name: string;

  /**
   * RFC 3339, UTC.
   * @example 2026-11-23T10:00:00Z
   */
  @ApiInstant()
  createdAt: string;

  /**
   * What the key may do.
   * @example ["users:read", "invoices:write"]
   */
  scopes: string[];

  /**
   * When it stops working; `null`: never.
   * @example 2099-12-31T23:59:59Z
   */
  @ApiInstant()
  expiresAt: string | null;

  /**
   * Where it may be used from; `null`: from anywhere.
   * @example ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"]
   */
  allowedIps: string[] | null;
}

export class CreatedApiKey extends ApiKeyDescription {
  /**
   * The key itself. Shown this once and never again.
   * @example sk_live_4fGh7Jk2Lm9Np3Qr5St8Uv1Wx6Yz0AbC2wUnVx
   */
  apiKey: string;
}

export class ListedApiKey extends ApiKeyDescription {
  /**
   * When it was last used, at most ten seconds behind; `null`: never.
   * @example 2026-11-23T11:30:00Z
   */
  @ApiInstant()
  lastUsed: string | null;
}
