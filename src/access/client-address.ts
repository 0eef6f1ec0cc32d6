import type { FastifyRequest } from 'fastify';

/** The client's address as far as the trusted proxies vouch for it. */
export function clientAddress(request: FastifyRequest): string {
  return plainAddress(request.ip);
}

/** An address as it is compared: IPv4 in its own form also where it came mapped into IPv6 (RFC 4291 section 2.5.5.2). */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
}
