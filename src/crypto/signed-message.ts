import { createHmac, type KeyObject } from 'node:crypto';
import type { PurposeKeys } from './key-ring';
import { sameDigest } from './sha256';

/** HMAC-SHA-256 in base64url. */
const MAC_LENGTH = 43;

/** `body` with a MAC before it, for a road that others may write to. */
export function signMessage({ current }: PurposeKeys, body: string): string {
  return mac(current, body) + body;
}

/** The body of a message that was signed with one of the keys, or undefined for any other text. */
export function verifyMessage({ accepted }: PurposeKeys, message: string): string | undefined {
  const presented = message.slice(0, MAC_LENGTH);
  const body = message.slice(MAC_LENGTH);
  return accepted.some((key) => sameDigest(mac(key, body), presented)) ? body : undefined;
}

function mac(key: KeyObject, body: string): string {
  return createHmac('sha256', key).update(body).digest('base64url');
}
