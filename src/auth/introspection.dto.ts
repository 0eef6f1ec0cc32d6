import { IsString } from 'class-validator';
import { IsAddress, MayBeAbsent } from '../core/field-rules';

export class IntrospectionRequest {
  /**
   * The access token or API key that somebody presented to you.
   * @example eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwOi8vbG9jYWxob3N0OjMwMDAifQ.Zm9yIGlsbHVzdHJhdGlvbiBvbmx5LCBub3QgYSBzaWduYXR1cmU
   */
  @IsString()
  token: string;

  /**
   * Accepted and ignored: tokens and keys are told apart by their form.
   * @example access_token
   */
  @MayBeAbsent()
  @IsString()
  token_type_hint?: string;

  /**
   * The address from which it was presented to you. A key that is used from an address not allowed to it is not active; left
   * out, addresses are not judged.
   * @example 127.0.0.1
   */
  @MayBeAbsent()
  @IsAddress()
  ip?: string;
}

/** RFC 7662 section 2.2. Of what is not active, nothing but that is told. */
export class IntrospectionResponse {
  /** Whether it may be accepted. */
  active: boolean;

  /** The account that it acts for. */
  sub?: string;

  /** What the account is called. */
  username?: string;

  /** What it may do, separated by spaces; `*`: everything. */
  scope?: string;

  /** When it stops working, in seconds since 1970; absent: never. */
  exp?: number;

  /** When it was issued, in seconds since 1970. */
  iat?: number;

  /** Of an API key: its id. */
  client_id?: string;

  /** `Bearer` for an access token, `api-key` for a key. */
  token_type?: string;

  /** Of an access token: its session. */
  sid?: string;
}

/** What is answered about anything that is not to be accepted. */
export const INACTIVE: IntrospectionResponse = { active: false };

/** The document's example: an access token. */
export const ACTIVE_EXAMPLE: IntrospectionResponse = {
  active: true,
  sub: 'user_01k9v3cde8f2mreav4z6w2x5td',
  username: 'jane.doe',
  scope: '*',
  exp: 1795482000,
  iat: 1795478400,
  token_type: 'Bearer',
  sid: 'sess_01k9v3cr6be8va4tq2m9n7x0ph',
};
