import { createHmac, type KeyObject } from 'node:crypto';
import type { PurposeKeys } from './key-ring';
import { sameDigest } from './sha256';

/** The key that signed an HS256 token; while a secret is being changed there is more than one that may have. */
export function signingKeyOf(token: string, { current, accepted }: PurposeKeys): KeyObject {
  if (accepted.length === 1) return current;
  const signed = token.slice(0, token.lastIndexOf('.'));
  const signature = token.slice(signed.length + 1);
  const matches = (key: KeyObject) =>
    sameDigest(createHmac('sha256', key).update(signed).digest('base64url'), signature);
  return accepted.find(matches) ?? current;
}
