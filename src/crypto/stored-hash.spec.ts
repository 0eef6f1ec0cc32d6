import { isBehindOthers, readStoredHash, type StoredHash } from './stored-hash';

const bytes = (count: number): string => Buffer.alloc(count, 7).toString('base64').replaceAll('=', '');

const argon2 = (memory: number | string, passes: number, lanes: number, salt = 16, digest = 32) =>
  `$argon2id$v=19$m=${memory},t=${passes},p=${lanes}$${bytes(salt)}$${bytes(digest)}`;
const bcrypt = (cost: string, prefix = '$2b') =>
  `${prefix}$${cost}$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW`;
const scrypt = (log2Cost: number, blockSize: number, lanes: number) =>
  `$scrypt$ln=${log2Cost},r=${blockSize},p=${lanes}$${bytes(16)}$${bytes(32)}`;
const pbkdf2 = (iterations: number | string) => `$pbkdf2-sha512$${iterations}$${bytes(16)}$${bytes(64)}`;

describe('a stored hash', () => {
  it.each([
    ['the least memory', argon2(8, 1, 1)],
    ['the most memory', argon2(262_144, 4, 1)],
    ['the most passes', argon2(16_384, 64, 1)],
    ['the most lanes', argon2(128, 1, 16)],
    ['the longest salt and digest', argon2(64, 1, 1, 48, 64)],
    ['the shortest salt and digest', argon2(64, 1, 1, 8, 16)],
    ['the least cost of bcrypt', bcrypt('04')],
    ['the highest cost of bcrypt', bcrypt('14')],
    ['the most work of scrypt', scrypt(18, 8, 1)],
    ['the most lanes of scrypt', scrypt(14, 8, 16)],
    ['the most iterations', pbkdf2(2_000_000)],
  ])('is read with %s', (_, text) => {
    expect(readStoredHash(text)).toEqual(expect.objectContaining({ scheme: expect.any(String) as string }));
  });

  it.each([
    ['too much memory', argon2(262_145, 1, 1)],
    ['gigabytes of memory', argon2(4_194_304, 1, 1)],
    ['too little memory', argon2(7, 1, 1)],
    ['too little memory for its lanes', argon2(127, 1, 16)],
    ['too many passes', argon2(8, 65, 1)],
    ['too much memory times passes', argon2(262_144, 5, 1)],
    ['too many lanes', argon2(1024, 1, 17)],
    ['a salt that is too short', argon2(64, 1, 1, 7)],
    ['a salt that is too long', argon2(64, 1, 1, 49)],
    ['a digest of which 1 in 2^120 would match', argon2(64, 1, 1, 16, 15)],
    ['a digest that is too long', argon2(64, 1, 1, 16, 65)],
    ['a salt with two spellings', argon2(64, 1, 1).replace(bytes(16), 'AAAAAAAAAAB')],
    ['too high a cost of bcrypt', bcrypt('15')],
    ['31 for a cost of bcrypt', bcrypt('31')],
    ['too low a cost of bcrypt', bcrypt('03')],
    ['too much work of scrypt', scrypt(18, 8, 2)],
    ['too much memory of scrypt', scrypt(21, 1, 1)],
    ['more lanes of scrypt than are granted', scrypt(10, 8, 17)],
    ['larger blocks of scrypt than are granted', scrypt(10, 33, 1)],
    ['a cost of scrypt that its blocks do not allow', scrypt(16, 1, 1)],
    ['a cost of scrypt that is no power of two', `scrypt$1000$${'s'.repeat(12)}$8$1$${bytes(64)}`],
    ['too many iterations', pbkdf2(2_000_001)],
  ])('is refused with %s', (_, text) => {
    expect(readStoredHash(text)).toBe('with parameters out of bounds');
  });

  it.each([
    ['nothing', ''],
    ['a digest in hexadecimal', '5f4dcc3b5aa765d61d8327deb882cf99'],
    ['Argon2d', argon2(64, 1, 1).replace('argon2id', 'argon2d')],
    ['Argon2 of an unknown version', argon2(64, 1, 1).replace('v=19', 'v=20')],
    ['Argon2 with a secret', argon2(64, 1, 1).replace('p=1', 'p=1,keyid=AAAA')],
    ['a number with a zero in front', argon2('064', 1, 1)],
    ['a number that overflows', argon2('99999999999999999999', 1, 1)],
    ['bcrypt as it was before 2011', bcrypt('04', '$2x')],
    ['bcrypt cut short', bcrypt('04').slice(0, -1)],
    ['bcrypt with a salt that decodes in two ways', bcrypt('04').replace('.E5Y', 'CE5Y')],
    ['no iterations', pbkdf2(0)],
    ['PBKDF2 with SHA-1', `$pbkdf2$1000$${bytes(16)}$${bytes(20)}`],
    ['a line break behind it', `${bcrypt('04')}\n`],
  ])('of an unknown form is refused: %s', (_, text) => {
    expect(readStoredHash(text)).toBe('of an unknown form');
  });

  it('is refused when it is longer than the column', () => {
    expect(readStoredHash(`pbkdf2_sha256$1000$${'s'.repeat(237)}$${bytes(32)}`)).toBe('too long');
  });

  it.each([
    ['bcrypt', bcrypt('04'), 'x'.repeat(71), false],
    ['bcrypt', bcrypt('04'), 'x'.repeat(72), true],
    ['bcrypt', bcrypt('04'), 'ü'.repeat(36), true],
    ['bcrypt over SHA-256', `bcrypt_sha256$${bcrypt('04')}`, 'x'.repeat(72), false],
    ['Argon2', argon2(64, 1, 1), 'x'.repeat(72), false],
  ])('says whether it may be that of another password too: %s', (_, text, password, others) => {
    expect(isBehindOthers(readStoredHash(text) as StoredHash, password)).toBe(others);
  });
});
