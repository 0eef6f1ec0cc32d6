import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { idFromBytes, idToBytes } from '../core/ids';
import type { PurposeKeys } from './key-ring';

const PREFIX = 'rt_';
const VERSION = 1;

/** Bytes of the random part that only the client ever holds: 128 bits (ASVS 7.2.3, 11.5.1). */
export const NONCE_BYTES = 16;

const SESSION_AT = 1;
const GENERATION_AT = SESSION_AT + 16;
const NONCE_AT = GENERATION_AT + 4;
const MAC_AT = NONCE_AT + NONCE_BYTES;
const TOKEN_BYTES = MAC_AT + 32;

/** What a refresh token says. */
export interface RefreshToken {
  sessionId: string;
  /** How many rotations led to this token; 0 is the one that a login hands out. */
  generation: number;
  /** Same through all generations of a session. The server keeps its SHA-256 only. */
  nonce: Buffer;
}

/**
 * Writes and reads refresh tokens: `rt_`, then base64url of version (1 byte), session id (16), generation (4), nonce
 * (16) and HMAC-SHA-256 over all of these (32).
 *
 * The MAC lets a forged token be thrown out without I/O. The nonce makes the master secret alone worthless, and its
 * digest in the database too. Since a successor is a function of the token presented, a repeated refresh is answered
 * with the same one though the server never kept it.
 */
export class RefreshTokenFormat {
  constructor(private readonly keys: PurposeKeys) {}

  encode(token: RefreshToken): string {
    const bytes = Buffer.alloc(TOKEN_BYTES);
    bytes.writeUInt8(VERSION, 0);
    bytes.set(idToBytes('sess', token.sessionId), SESSION_AT);
    bytes.writeUInt32BE(token.generation, GENERATION_AT);
    bytes.set(token.nonce, NONCE_AT);
    bytes.set(mac(this.keys.current, bytes), MAC_AT);
    return PREFIX + bytes.toString('base64url');
  }

  /** The token, or undefined for any text that this service did not write. */
  decode(text: string): RefreshToken | undefined {
    if (!text.startsWith(PREFIX)) return undefined;
    const encoded = text.slice(PREFIX.length);
    const bytes = Buffer.from(encoded, 'base64url');
    // Only one text stands for these bytes: no padding, no foreign characters (which decoding would skip).
    if (bytes.length !== TOKEN_BYTES || bytes.toString('base64url') !== encoded) return undefined;
    if (bytes.readUInt8(0) !== VERSION) return undefined;
    const presented = bytes.subarray(MAC_AT);
    if (!this.keys.accepted.some((key) => timingSafeEqual(mac(key, bytes), presented))) return undefined;
    return {
      sessionId: idFromBytes('sess', bytes.subarray(SESSION_AT, GENERATION_AT)),
      generation: bytes.readUInt32BE(GENERATION_AT),
      nonce: bytes.subarray(NONCE_AT, MAC_AT),
    };
  }
}

function mac(key: KeyObject, token: Buffer): Buffer {
  return createHmac('sha256', key).update(token.subarray(0, MAC_AT)).digest();
}
