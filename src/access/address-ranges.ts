import { BlockList, isIP } from 'node:net';
import { plainAddress } from './client-address';

/** Addresses and CIDR ranges. A range of one family never holds an address of the other. */
export class AddressRanges {
  private readonly ipv4 = new BlockList();
  private readonly ipv6 = new BlockList();

  /** How many there are. */
  readonly count: number;

  /** @param ranges each valid by `isAddressRange` */
  constructor(ranges: readonly string[]) {
    this.count = ranges.length;
    for (const range of ranges) {
      const [address = '', prefix] = range.split('/');
      if (isIP(address) === 4) this.ipv4.addSubnet(address, Number(prefix ?? 32), 'ipv4');
      else this.addIpv6(address, Number(prefix ?? 128));
    }
  }

  /** Clients are compared in their own form: a range of addresses that are mapped into IPv6 (RFC 4291 2.5.5.2) is one of IPv4. */
  private addIpv6(address: string, prefix: number): void {
    const plain = plainAddress(address);
    if (isIP(plain) === 4 && prefix >= 96) this.ipv4.addSubnet(plain, prefix - 96, 'ipv4');
    else this.ipv6.addSubnet(address, prefix, 'ipv6');
  }

  includes(address: string): boolean {
    switch (isIP(address)) {
      case 4:
        return this.ipv4.check(address, 'ipv4');
      case 6:
        return this.ipv6.check(address, 'ipv6');
      default:
        return false;
    }
  }
}

/** Whether the text is an address or a CIDR range. */
export function isAddressRange(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0 || address.includes('%')) return false;
  return (
    prefix === undefined ||
    (/^(0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128))
  );
}
