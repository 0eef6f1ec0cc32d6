import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { PurposeKeys } from './key-ring';

const VERSION = 1;

/** Bytes of HMAC-SHA-256. */
const MAC_BYTES = 32;

/**
 * Texts that prove by themselves that this service wrote them: a prefix, then base64url of version (1 byte), content (always as
 * many bytes) and HMAC-SHA-256 over both (32). What is in them can be read by anybody, and changed by nobody.
 */
export class SealedText {
  constructor(
    private readonly prefix: string,
    private readonly contentBytes: number,
    private readonly keys: PurposeKeys,
  ) {}

  /** The text for this content: the same one every time, as long as the key is the same. */
  seal(content: Buffer): string {
    const sealed = Buffer.concat([Buffer.of(VERSION), content]);
    return this.prefix + Buffer.concat([sealed, mac(this.keys.current, sealed)]).toString('base64url');
  }

  /** The content, or undefined for any text that this service did not write. */
  open(text: string): Buffer | undefined {
    if (!text.startsWith(this.prefix)) return undefined;
    const encoded = text.slice(this.prefix.length);
    const bytes = Buffer.from(encoded, 'base64url');
    // Only one text stands for these bytes: no padding, no foreign characters (which decoding would skip).
    if (bytes.length !== 1 + this.contentBytes + MAC_BYTES || bytes.toString('base64url') !== encoded)
      return undefined;
    if (bytes.readUInt8(0) !== VERSION) return undefined;
    const sealed = bytes.subarray(0, -MAC_BYTES);
    const presented = bytes.subarray(-MAC_BYTES);
    if (!this.keys.accepted.some((key) => timingSafeEqual(mac(key, sealed), presented))) return undefined;
    return sealed.subarray(1);
  }
}

function mac(key: KeyObject, sealed: Buffer): Buffer {
  return createHmac('sha256', key).update(sealed).digest();
}
