let count = 0;

/** Settings of a service that believes what `fromFreshAddress` says: limits are in force, and nobody shares his with others. */
export const BELIEVING = { TRUST_PROXY: 'loopback' };

/** The header of a request that comes from where none has come from before. */
export function fromFreshAddress(): Record<string, string> {
  count += 1;
  return { 'x-forwarded-for': `10.${(count >> 16) & 255}.${(count >> 8) & 255}.${count & 255}` };
}
