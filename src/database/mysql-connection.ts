import type { Duplex } from 'node:stream';
import type { ConnectionOptions } from 'mysql2';
import { type Connection, createConnection } from 'mysql2/promise';
import type { MysqlLocation } from '../config/database-location';

/**
 * Milliseconds of silence after which the kernel asks whether the server's host is still there. A statement of a migration, which
 * nothing else bounds, would wait for a lost one for two hours.
 */
const KEEP_ALIVE_MS = 10_000;

/**
 * What every connection to the server is made with. Encrypted, it comes about only with a server that proves by a certificate
 * of a trusted authority that it has the name that we call it by; there is no going back to plain text (ASVS 12.3.1, 12.3.2).
 * Where we have a certificate of our own the server is shown it (ASVS 12.3.5).
 */
export function connectionTo({
  host,
  port,
  user,
  password,
  database,
  tls,
}: MysqlLocation): ConnectionOptions {
  const ssl = tls && {
    ...tls,
    rejectUnauthorized: true,
    // The driver compares the name only when asked to.
    verifyIdentity: true,
  };
  return { host, port, user, password, database, keepAliveInitialDelay: KEEP_ALIVE_MS, ...(ssl && { ssl }) };
}

/**
 * A connection of its own, that is not of the pool.
 *
 * @throws what `describeRefusal` puts into words
 */
export async function connectAlone(location: MysqlLocation, timeoutMs: number): Promise<Connection> {
  const connection = await createConnection({
    ...connectionTo(location),
    connectTimeout: timeoutMs,
    timezone: 'Z',
  });
  // Whoever waits for an answer is told of an error by it; with nobody to hear it, it would end the process.
  connection.on('error', () => undefined);
  return connection;
}

/**
 * Ends a connection, and has everything fail that is still to be done on it. By itself the driver would only take leave, and then
 * not mind how the connection ends: a statement behind another that a hung server never answers would never fail, and whoever
 * waits for it, and for his turn behind it, would wait for ever.
 */
export function cutOff(connection: { destroy?: () => void; stream?: Duplex }): void {
  connection.destroy?.();
  connection.stream?.destroy(new Error('The connection was given up'));
}

/**
 * Takes leave of the server and ends the connection, whether it has heard that or not. Waits for nothing: behind a statement that
 * is never answered the driver would never come to say it.
 */
export function hangUp(connection: Connection): void {
  void connection.end();
  cutOff((connection as unknown as { connection: Parameters<typeof cutOff>[0] }).connection);
}

/** Why the server is of no use, and what to change. */
export function describeRefusal(location: MysqlLocation, { code, message }: NodeJS.ErrnoException): string {
  const server = `The MySQL server at ${location.host}:${location.port}`;
  switch (code) {
    case 'ER_ACCESS_DENIED_ERROR':
    case 'ER_DBACCESS_DENIED_ERROR':
      return `${server} refuses user '${location.user}' on database '${location.database}'; check the user, the password and the grants behind DATABASE_URL${location.tls ? '' : ', and whether the server wants TLS: ?ssl-mode=VERIFY_IDENTITY'}${location.tls && !location.tls.cert ? ', and whether the server wants a certificate: TLS_CERT' : ''}.`;
    case 'ER_BAD_DB_ERROR':
      return `${server} has no database '${location.database}'; create it, or name another one in DATABASE_URL.`;
    case 'ER_SECURE_TRANSPORT_REQUIRED':
      return `${server} takes encrypted connections only; put ?ssl-mode=VERIFY_IDENTITY behind DATABASE_URL, and the certificate of its authority into TLS_CA.`;
    case 'HANDSHAKE_NO_SSL_SUPPORT':
      return `${server} speaks no TLS, which ssl-mode=VERIFY_IDENTITY in DATABASE_URL asks for; give it a certificate.`;
    case 'HANDSHAKE_SSL_ERROR':
      return `${server} does not prove that it is ${location.host} (${message}); check its certificate, the name in DATABASE_URL, and the authority in TLS_CA.`;
    case 'PROTOCOL_SEQUENCE_TIMEOUT':
      return `${server} has let us in and then not answered; see what it is waiting for, or point DATABASE_URL elsewhere.`;
    default:
      return `${server} cannot be reached (${code ?? 'no answer'}); start it, or point DATABASE_URL elsewhere.`;
  }
}
