import type { DatabaseLocation, MysqlLocation } from '../config/database-location';
import { ConfigError } from '../config/load-config';
import type { Log } from '../core/log';

/** By whom connections are made. Never changed: others are another object. */
export type Credentials = Readonly<Pick<MysqlLocation, 'user' | 'password'>>;

/**
 * The user and the password of the database, which may change while the service runs (ASVS 13.2.1): where the server refuses
 * them, the setting is read again from its file. Everything else in it needs a restart.
 */
export class MysqlCredentials {
  current: Credentials;
  /** What was last logged: who is refused is refused again and again. */
  private told: string | undefined;

  /** @param log whom a change is told, and why there is none; never with a password */
  constructor(
    private readonly location: MysqlLocation,
    private readonly log: Log | undefined,
  ) {
    this.current = { user: location.user, password: location.password };
  }

  /** Reads them again. @returns whether they are others now */
  renew(): boolean {
    const found = this.readAgain();
    if (!found || (found.user === this.current.user && found.password === this.current.password))
      return false;
    this.current = { user: found.user, password: found.password };
    this.told = undefined;
    this.log?.info(
      { user: found.user },
      'The database refused its user: that of DATABASE_URL_FILE is used from now on',
    );
    return true;
  }

  private readAgain(): MysqlLocation | undefined {
    try {
      const found = this.location.readAgain?.();
      if (!found || isSameDatabase(found, this.location)) return found;
      this.warn('It names another host, port, database or ssl-mode, which takes a restart');
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.warn(error.faults.join('; '));
    }
    return undefined;
  }

  private warn(reason: string): void {
    if (this.told !== reason) {
      this.log?.warn(
        { reason },
        'The database refused its user, and DATABASE_URL_FILE cannot be used instead',
      );
    }
    this.told = reason;
  }
}

function isSameDatabase(found: DatabaseLocation, known: MysqlLocation): found is MysqlLocation {
  return (
    found.engine === 'mysql' &&
    found.host === known.host &&
    found.port === known.port &&
    found.database === known.database &&
    (found.tls === undefined) === (known.tls === undefined)
  );
}
