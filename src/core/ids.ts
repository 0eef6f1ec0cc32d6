import { fromString, fromUUIDBytes, toUUIDBytes } from 'typeid-js';
import { v7 as uuidV7 } from 'uuid';
import { Clock } from './clock';
import { Random } from './random';

/** What an id says about itself: `user_01j…` is a user. */
export type IdPrefix = 'user' | 'sess' | 'key' | 'evt' | 'req' | 'jti' | 'seal';

/**
 * Makes TypeIDs: a prefix and a UUIDv7 (RFC 9562 section 5.7) in base32. Ids of one instance sort in the order in which they
 * were made, also within a millisecond. They name things and grant nothing: no id is ever a secret.
 */
export class Ids {
  private lastMilliseconds = -Infinity;
  private sequence = 0;

  constructor(
    private readonly clock: Clock,
    private readonly random: Random,
  ) {}

  /** A new id, 26 characters after the prefix and its underscore. */
  next(prefix: IdPrefix): string {
    const random = this.random.bytes(16);
    const now = this.clock.now().getTime();
    if (now > this.lastMilliseconds) {
      this.lastMilliseconds = now;
      this.sequence = random.readUInt32BE(0) >>> 1;
    } else {
      this.sequence = (this.sequence + 1) >>> 0;
    }
    const bytes = uuidV7({ random, msecs: this.lastMilliseconds, seq: this.sequence }, new Uint8Array(16));
    return fromUUIDBytes(prefix, bytes);
  }
}

/** 128 bits in base32, so that the first character is at most 7. */
const SUFFIX = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/;

/** Whether this is an id with that prefix. */
export function isId(prefix: IdPrefix, text: unknown): text is string {
  return (
    typeof text === 'string' && text.startsWith(`${prefix}_`) && SUFFIX.test(text.slice(prefix.length + 1))
  );
}

/**
 * The 16 bytes of an id.
 *
 * @throws Error when `id` is not a TypeID with this prefix
 */
export function idToBytes(prefix: IdPrefix, id: string): Uint8Array {
  return toUUIDBytes(fromString(id, prefix));
}

/** The id whose 16 bytes these are. */
export function idFromBytes(prefix: IdPrefix, bytes: Uint8Array): string {
  return fromUUIDBytes(prefix, bytes);
}

/** Less than every id made at `instant` or later, and greater than every id made before. */
export function earliestId(prefix: IdPrefix, instant: Date): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(instant.getTime(), 0, 6);
  return idFromBytes(prefix, bytes);
}
