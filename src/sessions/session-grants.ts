import { Injectable } from '@nestjs/common';
import { KeyRing } from '../crypto/key-ring';
import { type RefreshToken, RefreshTokenFormat } from '../crypto/refresh-token-format';
import { SessionLifetimes } from './session-lifetimes';
import type { Session } from './session.entity';

/** What a client is handed when it signs in or refreshes. */
export interface SessionGrant {
  sessionId: string;
  userId: string;
  /** When the password was shown. */
  authenticatedAt: Date;
  refreshToken: string;
  /** Now: what the lifetimes are counted from. */
  issuedAt: Date;
  /** When the access token to be issued expires. */
  accessTokenExpiry: Date;
  /** When the session ends if it is not refreshed. */
  idleEnd: Date;
}

/** Makes what a client is handed, and reads the refresh token that it brings back. */
@Injectable()
export class SessionGrants {
  private readonly format: RefreshTokenFormat;

  constructor(
    private readonly lifetimes: SessionLifetimes,
    keys: KeyRing,
  ) {
    this.format = new RefreshTokenFormat(keys.refreshToken);
  }

  /** The refresh token behind a text; undefined for a forged one, without I/O. */
  readToken(text: string): RefreshToken | undefined {
    return this.format.decode(text);
  }

  /** What to hand to the client of `session`, whose live refresh token is `token`. */
  of(
    session: Pick<Session, 'id' | 'userId' | 'createdAt' | 'idleEndsAt'>,
    token: RefreshToken,
    now: Date,
  ): SessionGrant {
    return {
      sessionId: session.id,
      userId: session.userId,
      authenticatedAt: session.createdAt,
      refreshToken: this.format.encode(token),
      issuedAt: now,
      accessTokenExpiry: this.lifetimes.accessTokenExpiry(now, session.idleEndsAt),
      idleEnd: session.idleEndsAt,
    };
  }
}
