import type { FastifyRequest } from 'fastify';

/** The client's address as far as the trusted proxies vouch for it; an IPv4 address in its own form, not mapped. */
export function clientAddress(request: FastifyRequest): string {
  return request.ip.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
}
