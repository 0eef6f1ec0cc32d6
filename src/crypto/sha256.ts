import { hash, timingSafeEqual } from 'node:crypto';

/** SHA-256 as 64 lower-case hex digits: the form in which high-entropy secrets are stored and looked up. */
export function sha256Hex(data: string | Uint8Array): string {
  return hash('sha256', data, 'hex');
}

/** Compares two digests in a time that does not depend on where they differ. */
export function sameDigest(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
