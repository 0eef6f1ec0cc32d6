/** Bytes of a secret at least: what HMAC-SHA-256 can use (RFC 7518 section 3.2). */
const LEAST_BYTES = 32;

/** Bits of a secret at least, as far as they can be estimated from its characters (ASVS 11.2.3). */
const LEAST_BITS = 128;

const HINT = 'make one with: openssl rand -base64 48';

/**
 * Placeholders, and how our own keys and tokens begin, which manuals show. At least seven letters, or six at the start: a random
 * secret contains one of them once in ten million.
 */
const PLACEHOLDER =
  /change[-_ ]?(me|this|it)|replace[-_ ]?(me|this|with)|place[-_ ]?holder|example|your[-_ ]?(own|super|jwt|auth|secret|key)|your[-_ ]256|(super|top|very|my|jwt|app)[-_ ]?secret|secret[-_ ]?key|string[-_ ]?secret|256[-_ ]?bit|insecure|not[-_ ]?secret|pass[-_ ]?word|default|development[-_ ]?only|qwertyui|keyboard|^(sk_live_|sk_test_|rt_AQG|dt_AQG|eyJhbGci)/i;

/** Secrets of 32 bytes and more out of manuals, tutorials and this repository's past, which look random and are known to everybody. */
const PUBLISHED: readonly string[] = [
  '404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970',
  'daf66e01593f61a15b857cf433aae03a005812b31234e149036bcc8dee755dbb',
  '3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b',
  '586e3272357538782f413f4428472b4b6250655368566b597033733676397924',
  '9a4f2c8d3b7a1e6f45c8a0b3f267d8b1d4e6f3c8a9d2b5f8e3a9c8b5f6v8a3d9',
  '6b59703373367639792442264529482b4d6251655468576d5a7134743777217a',
  '0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9',
  'gzh75aktmn3yj0ips4hcguutwjazzr9c',
  'mdeymzq1njc4owfiy2rlzjaxmjm0nty3odlhymnkzwy=',
  'a-master-secret-for-tests-of-more-than-32-bytes',
  'another-master-secret-for-tests-of-more-than-32-bytes',
  'another-master-secret-also-of-more-than-32-bytes',
  'a-secret-for-access-tokens-of-32-bytes-or-more',
  'wd8kq2vr0ftz6nxy4lmpb7shc1jgue5a',
  'f3ghk9xq1bvn5mzr7tyw2cpl8sdj6eua',
  'q7jv0n3mxc5typ9wld2skz8rbf4hug6aeo1inxvyqkm',
  'gwbf1ipqz0m4kz7tyd2svhxk9cqer3ul',
];

/**
 * What is wrong with a secret, as the end of a sentence that begins with its name and does not show it; undefined if
 * nothing is. Whoever guesses a secret from a manual signs in as whomever he likes.
 */
export function weaknessOf(secret: string): string | undefined {
  if (Buffer.byteLength(secret) < LEAST_BYTES) {
    return `must be at least ${LEAST_BYTES} bytes long; ${HINT}`;
  }
  if (PLACEHOLDER.test(secret) || PUBLISHED.includes(secret.toLowerCase())) {
    return `must not be a placeholder or a published secret; ${HINT}`;
  }
  if (estimateBits(secret) < LEAST_BITS) {
    return `must not be so easy to guess (repetitions, sequences, few different characters); ${HINT}`;
  }
  return undefined;
}

/**
 * How many bits there are in a text at most: its characters by their frequency, without those that follow from the one
 * before, and of what is repeated only the first time. Hyphens only divide: what looks like a UUID has the 122 bits of one.
 */
function estimateBits(text: string): number {
  const once = [...withoutRepetition(text.replaceAll('-', ''))];
  const surprising = once.filter((character, index) => !follows(character, once[index - 1]));
  const counts = new Map<string, number>();
  for (const character of surprising) counts.set(character, (counts.get(character) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits += count * Math.log2(surprising.length / count);
  return bits;
}

/** The shortest text that, said again and again, gives this one. */
function withoutRepetition(text: string): string {
  for (let period = 1; period < text.length; period += 1) {
    if (text.slice(period) === text.slice(0, -period)) return text.slice(0, period);
  }
  return text;
}

/** Whether a character is the one before it, or its neighbour in the alphabet or among the digits. */
function follows(character: string, before: string | undefined): boolean {
  if (before === undefined) return false;
  return Math.abs((character.codePointAt(0) as number) - (before.codePointAt(0) as number)) <= 1;
}
