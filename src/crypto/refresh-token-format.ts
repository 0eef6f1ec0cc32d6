import { idFromBytes, idToBytes } from '../core/ids';
import type { PurposeKeys } from './key-ring';
import { SealedText } from './sealed-text';

/** Bytes of the random part that only the client ever holds: 128 bits (ASVS 7.2.3, 11.5.1). */
export const NONCE_BYTES = 16;

const GENERATION_AT = 16;
const NONCE_AT = GENERATION_AT + 4;
const CONTENT_BYTES = NONCE_AT + NONCE_BYTES;

/** What a refresh token says. */
export interface RefreshToken {
  sessionId: string;
  /** How many rotations led to this token; 0 is the one that a login hands out. */
  generation: number;
  /** Same through all generations of a session. The server keeps its SHA-256 only. */
  nonce: Buffer;
}

/**
 * Writes and reads refresh tokens: `rt_` and sealed after it, session id (16 bytes), generation (4) and nonce (16).
 *
 * The seal lets a forged token be thrown out without I/O. The nonce makes the master secret alone worthless, and its
 * digest in the database too. Since a successor is a function of the token presented, a repeated refresh is answered
 * with the same one though the server never kept it.
 */
export class RefreshTokenFormat {
  private readonly text: SealedText;

  constructor(keys: PurposeKeys) {
    this.text = new SealedText('rt_', CONTENT_BYTES, keys);
  }

  encode({ sessionId, generation, nonce }: RefreshToken): string {
    const content = Buffer.alloc(CONTENT_BYTES);
    content.set(idToBytes('sess', sessionId));
    content.writeUInt32BE(generation, GENERATION_AT);
    content.set(nonce, NONCE_AT);
    return this.text.seal(content);
  }

  /** The token, or undefined for any text that this service did not write. */
  decode(text: string): RefreshToken | undefined {
    const content = this.text.open(text);
    return (
      content && {
        sessionId: idFromBytes('sess', content.subarray(0, GENERATION_AT)),
        generation: content.readUInt32BE(GENERATION_AT),
        nonce: content.subarray(NONCE_AT),
      }
    );
  }
}
