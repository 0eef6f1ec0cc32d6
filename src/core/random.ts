import { randomBytes } from 'node:crypto';

/** The only source of randomness, so that a test can set it. */
export abstract class Random {
  /** `length` bytes from a cryptographically secure generator. */
  abstract bytes(length: number): Buffer;
}

export class SystemRandom extends Random {
  bytes(length: number): Buffer {
    return randomBytes(length);
  }
}
