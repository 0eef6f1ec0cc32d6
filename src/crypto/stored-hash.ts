/** How a password is compared with what is stored: what a hashing thread is told. */
export type StoredHash =
  | { scheme: 'argon2'; text: string }
  | { scheme: 'bcrypt'; text: string; digested: boolean }
  | { scheme: 'scrypt'; cost: number; blockSize: number; lanes: number; salt: Uint8Array; digest: Uint8Array }
  | {
      scheme: 'pbkdf2';
      algorithm: 'sha256' | 'sha512';
      iterations: number;
      salt: Uint8Array;
      digest: Uint8Array;
    };

/** Why a stored text is not computed. */
export type HashRefusal = 'too long' | 'of an unknown form' | 'with parameters out of bounds';

/** Bytes of a password that bcrypt looks at. */
const BCRYPT_BYTES = 72;

/** What the column holds. */
const LONGEST_HASH = 255;

/**
 * The most that a stored hash may ask for: about a second of one thread and 256 MiB of memory. Whoever can write one row
 * must not be able to stop the service with it. All that frameworks are known to use by default lies well below.
 */
const BOUNDS = {
  argon2: { memoryKib: [8, 262_144], passes: [1, 64], lanes: [1, 16], memoryTimesPasses: [8, 1_048_576] },
  bcrypt: { cost: [4, 14] },
  scrypt: { log2Cost: [1, 20], blockSize: [1, 32], lanes: [1, 16], work: [2, 2_097_152] },
  pbkdf2: { iterations: [1, 2_000_000] },
  // Fewer bytes of digest than these would match by chance.
  bytes: { salt: [8, 48], digest: [16, 64] },
} as const satisfies Record<string, Record<string, readonly [number, number]>>;

/** A textual form and how its parts are read. `undefined`: a parameter is out of bounds. */
interface Form {
  pattern: RegExp;
  read: (parts: (string | undefined)[]) => StoredHash | undefined;
}

/**
 * The forms that are read: PHC strings of Argon2 and scrypt; bcrypt as every library writes it; all of these, and PBKDF2, as
 * Python's passlib, Django and Werkzeug write them. Not read: digests that are no password hashes (MD5, SHA-1), and forms
 * that need a secret of their maker (Firebase).
 */
const FORMS: Form[] = [
  {
    pattern:
      /^(?:argon2)?(\$argon2id?\$v=(?:16|19)\$m=([1-9]\d{0,6}),t=([1-9]\d{0,2}),p=([1-9]\d{0,2})\$([\w+/]+)\$([\w+/]+))$/,
    read: ([text = '', memory, passes, lanes, salt, digest]) =>
      isArgon2Sound(Number(memory), Number(passes), Number(lanes), base64(salt), base64(digest))
        ? { scheme: 'argon2', text }
        : undefined,
  },
  {
    // The last character of salt and digest has bits that belong to neither.
    pattern: /^(bcrypt\$|bcrypt_sha256\$)?(\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31})$/,
    read: ([django, text = '', cost]) =>
      within(Number(cost), BOUNDS.bcrypt.cost)
        ? { scheme: 'bcrypt', text, digested: django === 'bcrypt_sha256$' }
        : undefined,
  },
  {
    pattern: /^\$scrypt\$ln=([1-9]\d{0,1}),r=([1-9]\d{0,2}),p=([1-9]\d{0,2})\$([\w+/]+)\$([\w+/]+)$/,
    read: ([log2Cost, blockSize, lanes, salt, digest]) =>
      readScrypt(2 ** Number(log2Cost), blockSize, lanes, base64(salt), base64(digest)),
  },
  {
    pattern: /^scrypt\$([1-9]\d{0,7})\$([^$]+)\$([1-9]\d{0,2})\$([1-9]\d{0,2})\$([\w+/]+={0,2})$/,
    read: ([cost, salt, blockSize, lanes, digest]) =>
      readScrypt(Number(cost), blockSize, lanes, utf8(salt), base64(digest)),
  },
  {
    pattern: /^scrypt:([1-9]\d{0,7}):([1-9]\d{0,2}):([1-9]\d{0,2})\$([^$]+)\$((?:[0-9a-f]{2})+)$/,
    read: ([cost, blockSize, lanes, salt, digest]) =>
      readScrypt(Number(cost), blockSize, lanes, utf8(salt), hex(digest)),
  },
  {
    pattern: /^\$pbkdf2-(sha256|sha512)\$(?:i=)?([1-9]\d{0,7})(?:,l=\d{1,3})?\$([\w./+]+)\$([\w./+]+)$/,
    read: ([algorithm, iterations, salt, digest]) =>
      readPbkdf2(algorithm, iterations, base64(salt), base64(digest)),
  },
  {
    pattern: /^pbkdf2_(sha256|sha512)\$([1-9]\d{0,7})\$([^$]+)\$([\w+/]+={0,2})$/,
    read: ([algorithm, iterations, salt, digest]) =>
      readPbkdf2(algorithm, iterations, utf8(salt), base64(digest)),
  },
  {
    pattern: /^pbkdf2:(sha256|sha512):([1-9]\d{0,7})\$([^$]+)\$((?:[0-9a-f]{2})+)$/,
    read: ([algorithm, iterations, salt, digest]) =>
      readPbkdf2(algorithm, iterations, utf8(salt), hex(digest)),
  },
];

/** What the stored text says, or why it must not be computed. */
export function readStoredHash(text: string): StoredHash | HashRefusal {
  if (text.length > LONGEST_HASH) return 'too long';
  for (const { pattern, read } of FORMS) {
    const match = pattern.exec(text);
    if (match) return read(match.slice(1)) ?? 'with parameters out of bounds';
  }
  return 'of an unknown form';
}

/**
 * Whether a password that matches this hash may be another than the one it was made of: from the 72nd byte on bcrypt sees
 * nothing, neither more bytes nor that there are none.
 */
export function isBehindOthers(hash: StoredHash, password: string): boolean {
  return hash.scheme === 'bcrypt' && !hash.digested && Buffer.byteLength(password) >= BCRYPT_BYTES;
}

function isArgon2Sound(
  memoryKib: number,
  passes: number,
  lanes: number,
  salt: Uint8Array,
  digest: Uint8Array,
): boolean {
  const bounds = BOUNDS.argon2;
  return (
    within(memoryKib, bounds.memoryKib) &&
    within(passes, bounds.passes) &&
    within(lanes, bounds.lanes) &&
    within(memoryKib * passes, bounds.memoryTimesPasses) &&
    // RFC 9106 section 3.1.
    memoryKib >= 8 * lanes &&
    isSound(salt, digest)
  );
}

function readScrypt(
  cost: number,
  blockSizeText: string | undefined,
  lanesText: string | undefined,
  salt: Uint8Array,
  digest: Uint8Array,
): StoredHash | undefined {
  const bounds = BOUNDS.scrypt;
  const [blockSize, lanes] = [Number(blockSizeText), Number(lanesText)];
  const sound =
    // RFC 7914 section 2: a power of two, less than 2^(128 × blockSize / 8).
    Number.isInteger(Math.log2(cost)) &&
    Math.log2(cost) < 16 * blockSize &&
    within(Math.log2(cost), bounds.log2Cost) &&
    within(blockSize, bounds.blockSize) &&
    within(lanes, bounds.lanes) &&
    within(cost * blockSize * lanes, bounds.work) &&
    isSound(salt, digest);
  return sound ? { scheme: 'scrypt', cost, blockSize, lanes, salt, digest } : undefined;
}

function readPbkdf2(
  algorithm: string | undefined,
  iterations: string | undefined,
  salt: Uint8Array,
  digest: Uint8Array,
): StoredHash | undefined {
  const sound = within(Number(iterations), BOUNDS.pbkdf2.iterations) && isSound(salt, digest);
  return sound
    ? {
        scheme: 'pbkdf2',
        algorithm: algorithm === 'sha512' ? 'sha512' : 'sha256',
        iterations: Number(iterations),
        salt,
        digest,
      }
    : undefined;
}

function within(value: number, [least, most]: readonly [number, number]): boolean {
  return value >= least && value <= most;
}

function isSound(salt: Uint8Array, digest: Uint8Array): boolean {
  return within(salt.length, BOUNDS.bytes.salt) && within(digest.length, BOUNDS.bytes.digest);
}

/** Base64, with or without padding; passlib writes `.` for `+`. No bytes at all where one text could be two. */
function base64(text = ''): Uint8Array {
  const plain = text.replaceAll('.', '+').replaceAll('=', '');
  const bytes = Buffer.from(plain, 'base64');
  return bytes.toString('base64').replaceAll('=', '') === plain ? bytes : Buffer.alloc(0);
}

const utf8 = (text = ''): Uint8Array => Buffer.from(text, 'utf8');

const hex = (text = ''): Uint8Array => Buffer.from(text, 'hex');
