import { Equals } from 'class-validator';
import { ApiInstant, MayBeAbsent } from '../core/field-rules';

export class ListedSession {
  /**
   * Names the session; grants nothing.
   * @example sess_01k9v3czk4e1jb7p0s8r5hq2wf
   */
  sessionId: string;

  /**
   * When the user signed in. RFC 3339, UTC.
   * @example 2026-11-23T10:00:00Z
   */
  @ApiInstant()
  createdAt: string;

  /**
   * When it was last used, by a refresh or by any other call; at most ten seconds behind.
   * @example 2026-11-23T11:30:00Z
   */
  @ApiInstant()
  lastUsed: string;

  /**
   * When it ends unless it is refreshed before.
   * @example 2026-12-23T10:00:00Z
   */
  @ApiInstant()
  expiresAt: string;

  /**
   * Address of the last sign-in or refresh.
   * @example 203.0.113.7
   */
  ip: string;

  /**
   * The device in words that its owner recognises, from the `User-Agent` of the last sign-in or refresh; `null`: none was
   * sent.
   * @example 'Firefox on Windows'
   */
  userAgent: string | null;

  /**
   * Whether it is the session of the access token that was sent.
   * @example true
   */
  current: boolean;
}

export class EndSessionsQuery {
  /**
   * `current` spares the session of the access token that was sent. Default: every session ends.
   * @example current
   */
  @MayBeAbsent()
  @Equals('current')
  keep?: 'current';
}
