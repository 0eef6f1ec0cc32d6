import { createHmac, type KeyObject } from 'node:crypto';
import type { PurposeKeys } from './key-ring';
import { sameDigest } from './sha256';

/** What can be marked: an order of values whose JSON is the same wherever it is made. */
export type Markable = readonly (string | number | null)[];

/** Marks that only a holder of the key can make: HMAC-SHA-256 over the JSON of some values, as 64 lower-case hex digits. */
export class KeyedDigest {
  constructor(private readonly keys: PurposeKeys) {}

  /** The mark of these values, made with the current key. */
  of(values: Markable): string {
    return mark(this.keys.current, values);
  }

  /** Whether `digest` is the mark of these values by any key that is accepted. */
  matches(values: Markable, digest: string): boolean {
    return this.keys.accepted.some((key) => sameDigest(mark(key, values), digest));
  }
}

function mark(key: KeyObject, values: Markable): string {
  return createHmac('sha256', key).update(JSON.stringify(values)).digest('hex');
}
