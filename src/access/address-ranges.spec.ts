import { AddressRanges, isAddressRange } from './address-ranges';

describe('address ranges', () => {
  it.each<[string[], string, boolean]>([
    [['192.0.2.1'], '192.0.2.1', true],
    [['192.0.2.1'], '192.0.2.2', false],
    [['192.0.2.0/24'], '192.0.2.255', true],
    [['192.0.2.0/24'], '192.0.3.0', false],
    [['192.0.2.7/24'], '192.0.2.1', true],
    [['0.0.0.0/0'], '203.0.113.9', true],
    [['0.0.0.0/0'], '2001:db8::1', false],
    [['::/0'], '203.0.113.9', false],
    [['2001:db8::/32'], '2001:db8:ffff::1', true],
    [['2001:db8::/32'], '2001:db9::1', false],
    [['2001:DB8::1'], '2001:db8:0:0:0:0:0:1', true],
    [['10.0.0.0/8', '::1'], '::1', true],
    [['10.0.0.0/8'], 'not an address', false],
    [['::ffff:192.0.2.7'], '192.0.2.7', true],
    [['::ffff:c000:207'], '192.0.2.8', false],
    [['::FFFF:192.0.2.0/120'], '192.0.2.255', true],
    [['::ffff:192.0.2.0/120'], '192.0.3.0', false],
    [['::ffff:0:0/96'], '203.0.113.9', true],
    [['::ffff:0:0/95'], '203.0.113.9', false],
    [['::0.0.0.0/96'], '203.0.113.9', false],
    [['::192.0.2.7'], '192.0.2.7', false],
    [['::192.0.2.7'], '::c000:207', true],
    [['::192.0.2.0/120'], '::c000:2ff', true],
  ])('%j hold %s: %s', (ranges, address, expected) => {
    expect(new AddressRanges(ranges).includes(address)).toBe(expected);
  });

  it.each([
    ['192.0.2.1', true],
    ['192.0.2.0/0', true],
    ['::/128', true],
    ['192.0.2.0/33', false],
    ['::/129', false],
    ['192.0.2.0/-1', false],
    ['192.0.2.0/08', false],
    ['192.0.2.0/ 8', false],
    ['192.0.2.0/8/8', false],
    ['192.0.2', false],
    ['010.0.0.1', false],
    ['fe80::1%eth0', false],
    ['', false],
  ])('%p is one: %s', (text, expected) => {
    expect(isAddressRange(text)).toBe(expected);
  });
});
