import type { RedisOptions } from 'ioredis';

/** The arguments of a client of the library. */
export type RedisAddress = readonly [url: string, options: RedisOptions];

/**
 * Where Redis is, and whose certificates are believed there: with `rediss://` the name in the certificate is compared with that
 * in the URL, and nothing falls back to plain text.
 *
 * @param authorities in PEM form, and nobody else; undefined: those that Node knows
 */
export function redisAddress(url: string, authorities: string | undefined): RedisAddress {
  const encrypted = url.startsWith('rediss:');
  return [url, encrypted ? { tls: { ...(authorities !== undefined && { ca: authorities }) } } : {}];
}
