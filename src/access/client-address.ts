import { isIP, isIPv4 } from 'node:net';
import type { FastifyRequest } from 'fastify';
import ipaddr from 'ipaddr.js';

/**
 * The client's address, as far as the trusted proxies vouch for it, in its one textual form. What stands in a forwarded
 * header and is no address counts for nothing: then it is the address of the proxy that passed it on.
 */
export function clientAddress(request: FastifyRequest): string {
  const believed = request.ips?.findLast((entry) => isIP(withoutPort(entry)) !== 0);
  return plainAddress(believed ?? request.ip);
}

/**
 * An address as it is compared and counted: IPv4 in its own form, also where it came mapped into IPv6 (RFC 4291 section
 * 2.5.5.2); IPv6 in the canonical form of RFC 5952, without a zone. `::192.0.2.7` is not mapped but an address of IPv6 (section
 * 2.5.5.1), which the library takes for mapped unless a group stands before the dots.
 */
export function plainAddress(text: string): string {
  if (isIPv4(text)) return text;
  const address = withoutPort(text);
  if (isIPv4(address) || isIP(address) === 0) return address;
  const bare = address.replace(/%.*/, '').replace(/^::(?=\d{1,3}\.)/, '::0:');
  return ipaddr.process(bare).toString();
}

/** Some proxies write `192.0.2.1:443` or `[2001:db8::1]:443`. */
function withoutPort(text: string): string {
  return /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? text.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1');
}
