import { isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Groups of 16 bits in the part of an IPv6 address that its owner cannot choose freely: a /64. */
const NETWORK_GROUPS = 4;

/**
 * What an address is counted as: an IPv4 address as itself, an IPv6 address as its /64, since whoever has one has all 2^64 of
 * them (RFC 6177).
 *
 * @param address as `clientAddress` gives it
 */
export function addressBlock(address: string): string {
  if (!isIPv6(address)) return address;
  const { parts } = ipaddr.IPv6.parse(address);
  return `${parts
    .slice(0, NETWORK_GROUPS)
    .map((part) => part.toString(16))
    .join(':')}::/64`;
}
