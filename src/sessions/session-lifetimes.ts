import { Injectable } from '@nestjs/common';
import { Config } from '../config/config';
import { addSeconds, earlier } from '../core/instant';

/** The lifetimes of sessions, worked out from the settings. All instants are on the application's clock. */
@Injectable()
export class SessionLifetimes {
  constructor(private readonly config: Config) {}

  /** When a session opened now ends, however busy. */
  absoluteEnd(now: Date): Date {
    return addSeconds(now, this.config.sessionMaxAge);
  }

  /** When a session used now ends if it is not used again. */
  idleEnd(now: Date, end: Date): Date {
    return earlier(addSeconds(now, this.config.sessionIdleTimeout), end);
  }

  /** When an access token handed out now expires: never after its session. */
  accessTokenExpiry(now: Date, idleEnd: Date): Date {
    return earlier(addSeconds(now, this.config.accessTokenTtl), idleEnd);
  }

  /** No access token handed out now, or within the grace as the answer to a repeated refresh, is valid beyond this. */
  latestAccessTokenExpiry(now: Date, idleEnd: Date): Date {
    return this.accessTokenExpiry(addSeconds(now, this.config.refreshGrace), idleEnd);
  }

  /** Whether a refresh may be repeated at all. */
  get allowsRepeats(): boolean {
    return this.config.refreshGrace > 0;
  }

  /** Whether a rotation at `rotatedAt` may still be repeated with the token it replaced. The window never moves. */
  inGrace(now: Date, rotatedAt: Date): boolean {
    return now <= addSeconds(rotatedAt, this.config.refreshGrace);
  }
}
