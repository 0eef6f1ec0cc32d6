import { createHash } from 'node:crypto';

/** How the breached-password API calls a password: what is sent, and what is looked for in the answer. */
export interface BreachRange {
  /** Five hexadecimal digits, shared by some thousand known passwords: the service does not learn which was meant. */
  prefix: string;
  /** The other 35, upper case. */
  suffix: string;
}

/**
 * The range a password lies in. SHA-1 is the API's format and protects nothing here: nothing is stored, and what is sent are
 * 20 bits.
 */
export function breachRangeOf(password: string): BreachRange {
  const digest = createHash('sha1').update(password, 'utf8').digest('hex').toUpperCase();
  return { prefix: digest.slice(0, 5), suffix: digest.slice(5) };
}
