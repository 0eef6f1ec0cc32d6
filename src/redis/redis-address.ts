import type { RedisOptions } from 'ioredis';
import type { TlsIdentities } from '../config/database-location';

/** The arguments of a client of the library. */
export type RedisAddress = readonly [url: string, options: RedisOptions];

/**
 * Where Redis is, whose certificates are believed there, and which it is shown: with `rediss://` the name in the certificate is
 * compared with that in the URL, and nothing falls back to plain text.
 */
export function redisAddress(url: string, tls: TlsIdentities): RedisAddress {
  return [url, url.startsWith('rediss:') ? { tls } : {}];
}
