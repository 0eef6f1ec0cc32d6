import { isIP } from 'node:net';
import { z } from 'zod';
import { decodePart } from './percent-encoding';

/** Where rows are kept. */
export type DatabaseLocation = { engine: 'sqlite'; file: string } | MysqlLocation;

export interface MysqlLocation {
  engine: 'mysql';
  host: string;
  port: number;
  user: string;
  password: string;
  database: string;
  /** Absent: connections are not encrypted. */
  tls?: TlsIdentities;
  /**
   * Reads the setting again. Absent where it did not come from a file, and so stays what it is.
   *
   * @throws ConfigError
   */
  readAgain?: () => DatabaseLocation;
}

/** Whose certificates are believed, and which is shown. In PEM form. */
export interface TlsIdentities {
  /** The only authorities that are believed; absent: those that Node knows. */
  ca?: string;
  /** What this service shows, and its private key; absent: nothing. */
  cert?: string;
  key?: string;
}

/** `DATABASE_URL`, as text. */
export const databaseUrl = z.string().transform((text, context): DatabaseLocation => {
  const location = parseDatabaseUrl(text);
  if (typeof location !== 'string') return location;
  context.addIssue(location);
  return z.NEVER;
});

function parseDatabaseUrl(text: string): DatabaseLocation | string {
  if (text.startsWith('sqlite:')) {
    const file = text.slice('sqlite:'.length);
    return file === '' ? 'must name a file, as in sqlite:data/auth.sqlite' : { engine: 'sqlite', file };
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'mysql:') {
    return 'must be sqlite:<file> or mysql://user:password@host:3306/name, with # / ? @ : and % of user and password percent-encoded';
  }
  const [database, user, password] = [url.pathname.slice(1), url.username, url.password].map(decodePart);
  if (database === undefined || user === undefined || password === undefined) {
    return 'holds a % that stands for itself; write it as %25, in the password too';
  }
  if (url.hostname === '' || user === '' || !/^[\w$-]+$/.test(database)) {
    return 'must name a user, a host and a database, as in mysql://user:password@host:3306/name';
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const mode = parseSslMode(url.searchParams, host);
  if (typeof mode === 'string') return mode;
  return {
    engine: 'mysql',
    host,
    port: url.port === '' ? 3306 : Number(url.port),
    user,
    password,
    database,
    ...(mode.encrypted && { tls: {} }),
  };
}

/**
 * MySQL's own parameter of a connection, of whose values only the ends are offered: a certificate that nobody checks
 * protects from nobody on the way, and one without a name to check is any server's of the same authority (ASVS 12.3.2).
 */
function parseSslMode(parameters: URLSearchParams, host: string): { encrypted: boolean } | string {
  const [[name, value] = ['ssl-mode', 'DISABLED'], ...rest] = parameters;
  if (name !== 'ssl-mode' || rest.length > 0)
    return 'takes no parameter after the database name but ssl-mode';
  if (value !== 'VERIFY_IDENTITY' && value !== 'DISABLED') {
    return 'takes ssl-mode=VERIFY_IDENTITY, with TLS_CA for an authority of your own, or DISABLED; modes that do not check the certificate are not offered';
  }
  const encrypted = value === 'VERIFY_IDENTITY';
  // The driver would compare the certificate with the name localhost.
  if (encrypted && isIP(host) !== 0) return 'must give the host by its name with ssl-mode=VERIFY_IDENTITY';
  return { encrypted };
}
