import { crc32 } from 'node:zlib';
import type { Random } from '../core/random';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Random characters of a key: 32 × log2(62) is 190 bits. */
const SECRET_LENGTH = 32;
const CHECKSUM_LENGTH = 6;

/**
 * What a key looks like in a text, for scanners. Published: no group, no look-around, so that every engine understands it.
 */
export const API_KEY_PATTERN = '\\bsk_(?:live|test)_[0-9A-Za-z]{38}\\b';

/** Bytes at or above this would favour the first letters of the alphabet. */
const FAIR_BYTES = 256 - (256 % ALPHABET.length);

/**
 * Writes and checks API keys: `sk_`, the environment, `_`, 32 random base62 characters, 6 base62 characters of CRC-32
 * over all that stands before. The checksum is no secret: it lets a typing error or a made-up key be refused without
 * I/O, and lets a scanner tell a real key from a look-alike offline.
 */
export class ApiKeyFormat {
  private readonly prefix: string;
  private readonly shape: RegExp;

  constructor(environment: 'live' | 'test') {
    this.prefix = `sk_${environment}_`;
    this.shape =
      environment === 'live'
        ? /^sk_live_[0-9A-Za-z]{32}[0-9A-Za-z]{6}$/
        : /^sk_test_[0-9A-Za-z]{32}[0-9A-Za-z]{6}$/;
  }

  /** A new key. Shown once; only its SHA-256 is stored. */
  generate(random: Random): string {
    let body = this.prefix;
    while (body.length < this.prefix.length + SECRET_LENGTH) {
      for (const byte of random.bytes(SECRET_LENGTH)) {
        if (byte >= FAIR_BYTES || body.length === this.prefix.length + SECRET_LENGTH) continue;
        body += ALPHABET.charAt(byte % ALPHABET.length);
      }
    }
    return body + checksum(body);
  }

  /** Whether the text has the shape, the environment and the checksum of a key. Says nothing about its existence. */
  isWellFormed(text: string): boolean {
    return this.shape.test(text) && hasChecksum(text);
  }
}

/** Whether a text ends with the checksum of what stands before. One in 57 billion texts does so by chance. */
export function hasChecksum(text: string): boolean {
  return checksum(text.slice(0, -CHECKSUM_LENGTH)) === text.slice(-CHECKSUM_LENGTH);
}

function checksum(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let position = 0; position < CHECKSUM_LENGTH; position += 1) {
    digits = ALPHABET.charAt(rest % ALPHABET.length) + digits;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return digits;
}
