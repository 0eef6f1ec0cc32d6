import { IsBoolean, IsInt, IsString, Matches, Max, Min } from 'class-validator';
import { ApiProperty } from '@nestjs/swagger';
import { SCOPE_SHAPE } from '../access/scopes';
import { ApiInstant, IsAddress, MayBeAbsent, MayBeNull } from '../core/field-rules';
import {
  IsAddressRangeList,
  IsInstant,
  IsKeyName,
  IsScopeList,
  LONGEST_OVERLAP_SECONDS,
} from './api-key-rules';
import { CHECK_OUTCOMES, KEY_CHECKS, type KeyCheck } from './key-verdict';

export class CreateApiKeyRequest {
  /**
   * What its owner calls it, in any script; kept as typed. Default: `API key`.
   * @example 'My Integration Key'
   */
  @MayBeAbsent()
  @IsKeyName()
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
   * When the key stops working, RFC 3339. Default: never. In the 30 days before, its answers carry `Sunset`.
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

/** The first is what the documentation page sends: such a key has to work wherever its reader calls from. */
export const CREATION_EXAMPLES = {
  default: {
    summary: 'A key that may be used from anywhere',
    value: {
      name: 'My Integration Key',
      scopes: ['users:read', 'invoices:write'],
      expiresAt: '2099-12-31T23:59:59Z',
    },
  },
  bound: {
    summary: 'A key that is bound to addresses',
    value: { name: 'My Integration Key', allowedIps: ['127.0.0.1', '10.0.0.0/8', '2001:db8::/32'] },
  },
};

export class UpdateApiKeyRequest {
  /**
   * What its owner calls it from now on.
   * @example 'Billing, nightly'
   */
  @MayBeAbsent()
  @IsKeyName()
  name?: string;

  /**
   * `false` stops the key until it is enabled again.
   * @example true
   */
  @MayBeAbsent()
  @IsBoolean()
  enabled?: boolean;

  /**
   * What the key may do from now on. Adding a scope needs a recent sign-in.
   * @example ["users:read"]
   */
  @MayBeAbsent()
  @IsScopeList()
  scopes?: string[];

  /**
   * When the key stops working, RFC 3339; `null`: never.
   * @example 2099-06-30T23:59:59Z
   */
  @MayBeNull()
  @IsInstant()
  expiresAt?: string | null;

  /**
   * Where the key may be used from; `null`: from anywhere.
   * @example ["192.0.2.0/24"]
   */
  @MayBeNull()
  @IsAddressRangeList()
  allowedIps?: string[] | null;
}

/** As with `CREATION_EXAMPLES`. */
export const CHANGE_EXAMPLES = {
  default: {
    summary: 'Another name, fewer scopes and another end',
    value: {
      name: 'Billing, nightly',
      enabled: true,
      scopes: ['users:read'],
      expiresAt: '2099-06-30T23:59:59Z',
    },
  },
  bound: { summary: 'Bind it to addresses', value: { allowedIps: ['192.0.2.0/24'] } },
};

export class RotateApiKeyRequest {
  /**
   * Seconds for which the secret that is replaced still works. Default: 0, it ends at once.
   * @example 86400
   */
  @MayBeAbsent()
  @IsInt()
  @Min(0)
  @Max(LONGEST_OVERLAP_SECONDS)
  @ApiProperty({ type: 'integer' })
  overlapSeconds?: number;
}

export class ReportKeyRequest {
  /**
   * The whole key, as it was found.
   * @example sk_live_4fGh7Jk2Lm9Np3Qr5St8Uv1Wx6Yz0AbC2wUnVx
   */
  @IsString()
  apiKey: string;
}

export class ExplainQuery {
  /**
   * A scope that the key would need. Left out, none is judged.
   * @example invoices:write
   */
  @MayBeAbsent()
  @IsString()
  @Matches(SCOPE_SHAPE, { message: '$property must be resource:action' })
  @ApiProperty({ required: false, pattern: SCOPE_SHAPE.source })
  scope?: string;

  /**
   * The address that the key would be used from. Left out, it is not judged.
   * @example 10.0.0.7
   */
  @MayBeAbsent()
  @IsAddress()
  ip?: string;
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
   * What the key may do. Scopes that an operator has taken from its owner are not among them.
   * @example ["users:read", "invoices:write"]
   */
  scopes: string[];

  /**
   * Whether it is in service: neither disabled by its owner nor reported as found.
   * @example true
   */
  enabled: boolean;

  /**
   * When it stops working; `null`: never.
   * @example 2099-12-31T23:59:59Z
   */
  @ApiInstant()
  expiresAt: string | null;

  /**
   * Where it may be used from; `null`: from anywhere.
   */
  @ApiProperty({ example: null })
  allowedIps: string[] | null;
}

export class CreatedApiKey extends ApiKeyDescription {
  /**
   * The key itself. Shown this once and never again.
   * @example sk_live_4fGh7Jk2Lm9Np3Qr5St8Uv1Wx6Yz0AbC2wUnVx
   */
  apiKey: string;
}

export class RotatedApiKey extends CreatedApiKey {
  /**
   * When the secret that was replaced stops working; `null`: it has.
   * @example 2026-11-24T10:00:00Z
   */
  @ApiInstant()
  oldSecretEndsAt: string | null;
}

export class OldSecret {
  /**
   * When it stops working.
   * @example 2026-11-24T10:00:00Z
   */
  @ApiInstant()
  endsAt: string;

  /**
   * When it was last used, at most ten seconds behind; `null`: never.
   * @example 2026-11-23T11:30:00Z
   */
  @ApiInstant()
  lastUsed: string | null;

  /**
   * Whether a call has come with it since the second in which it was replaced.
   * @example true
   */
  inUse: boolean;

  /**
   * When the old secret was last used; if never since the rotation, when that was.
   * @example 2026-11-23T11:30:00Z
   */
  @ApiInstant()
  quietSince: string;
}

export class ListedApiKey extends ApiKeyDescription {
  /**
   * When it was last used, at most ten seconds behind; `null`: never.
   * @example 2026-11-23T11:30:00Z
   */
  @ApiInstant()
  lastUsed: string | null;

  /**
   * When somebody reported it as found; `null`: nobody has since its last rotation.
   * @example 2026-11-23T11:45:00Z
   */
  @ApiInstant()
  reportedAt: string | null;

  /** The secret that the last rotation replaced, while it still works; `null`: there is none. */
  oldSecret: OldSecret | null;
}

export class CheckReport {
  /**
   * What was looked at.
   * @example address_allowed
   */
  @ApiProperty({ enum: KEY_CHECKS })
  check: KeyCheck;

  /**
   * `skipped`: it was not asked about.
   * @example pass
   */
  @ApiProperty({ enum: CHECK_OUTCOMES })
  outcome: (typeof CHECK_OUTCOMES)[number];
}

export class KeyExplanation {
  /**
   * Whether such a use would be let in.
   * @example allow
   */
  @ApiProperty({ enum: ['allow', 'deny'] })
  decision: 'allow' | 'deny';

  /**
   * Every check in the order in which they are made. The first that fails decides.
   * @example [{"check": "owner_enabled", "outcome": "pass"}, {"check": "key_enabled", "outcome": "pass"}, {"check": "not_reported", "outcome": "pass"}, {"check": "not_expired", "outcome": "pass"}, {"check": "address_allowed", "outcome": "pass"}, {"check": "scope_given", "outcome": "pass"}, {"check": "scope_held_by_owner", "outcome": "pass"}]
   */
  checks: CheckReport[];
}

export class ReportReceipt {
  /**
   * Always the same sentence, whatever was reported.
   * @example 'If this is a key of ours, it no longer works'
   */
  message: string;
}
