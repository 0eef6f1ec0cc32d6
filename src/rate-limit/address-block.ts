import { isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { plainAddress } from '../access/client-address';

/** Groups of 16 bits in the part of an IPv6 address that its owner cannot choose freely: a /64. */
const BLOCK_GROUPS = 4;

/** The same of what a provider hands to a customer who asks for more: a /48 (RFC 6177). */
const NETWORK_GROUPS = 3;

/**
 * What an address is counted as: an IPv4 address as itself, an IPv6 address as its /64, since whoever has one has all 2^64 of
 * them (RFC 6177).
 *
 * @param address as `clientAddress` or a socket gives it: IPv4 may come mapped into IPv6
 */
export function addressBlock(address: string): string {
  return leading(address, BLOCK_GROUPS);
}

/**
 * The widest that one customer is likely to have: of an IPv6 address its /48, with 65,536 blocks in it. An IPv4 address, of
 * which hardly anybody has many in a row, stands for itself.
 *
 * @param address as `clientAddress` or a socket gives it: IPv4 may come mapped into IPv6
 */
export function addressNetwork(address: string): string {
  return leading(address, NETWORK_GROUPS);
}

function leading(address: string, groups: number): string {
  const plain = plainAddress(address);
  if (!isIPv6(plain)) return plain;
  const parts = ipaddr.IPv6.parse(plain).parts.slice(0, groups);
  return `${parts.map((part) => part.toString(16)).join(':')}::/${groups * 16}`;
}
