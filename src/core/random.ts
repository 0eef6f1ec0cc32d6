import { randomBytes } from 'node:crypto';

/** The only source of randomness, so that a test can set it. */
export abstract class Random {
  /** `length` bytes from a cryptographically secure generator. */
  abstract bytes(length: number): Buffer;
}

/** Bytes drawn from the generator at a time: asking it costs far more than the bytes do. */
const RESERVE_BYTES = 4096;

export class SystemRandom extends Random {
  private reserve = Buffer.alloc(0);
  private used = 0;

  bytes(length: number): Buffer {
    // A length that is none is for the generator to refuse.
    if (!(length >= 0 && length <= RESERVE_BYTES)) return randomBytes(length);
    if (this.used + length > this.reserve.length) {
      this.reserve = randomBytes(RESERVE_BYTES);
      this.used = 0;
    }
    const handedOut = this.reserve.subarray(this.used, this.used + length);
    this.used += length;
    const bytes = Buffer.alloc(length);
    handedOut.copy(bytes);
    // Nothing of a secret stays here once it was handed out.
    handedOut.fill(0);
    return bytes;
  }
}
