// @ts-check
// Runs in a worker thread and in the script that writes the file. JavaScript, so that both start alike from the build and
// from the sources under test.
'use strict';

const { Buffer } = require('node:buffer');
const { createHash } = require('node:crypto');

/**
 * The file `common-passwords.bin`: a fingerprint of 40 bits for each password. 65,536 counts of one byte, by the
 * fingerprint's first 16 bits; then the other 24 bits of each, sorted. With 600,000 entries a password that is in no list
 * is taken for one that is once in 1.8 million times.
 */
const BUCKETS = 65_536;
const REMAINDER_BYTES = 3;

/** Shorter ones are refused for their length. */
const LEAST_CHARACTERS = 8;

/**
 * The form in which passwords are looked up: who writes a common one in capitals or in full-width letters has a common one.
 *
 * @param {string} password
 */
const fold = (password) => password.normalize('NFKC').toLowerCase();

/** @param {string} folded */
const fingerprint = (folded) =>
  createHash('sha256')
    .update(folded)
    .digest()
    .subarray(0, 2 + REMAINDER_BYTES);

/**
 * The content of the file.
 *
 * @param {Iterable<string>} passwords
 * @returns {Buffer}
 */
function encode(passwords) {
  /** @type {Set<string>} */
  const entries = new Set();
  for (const password of passwords) {
    const folded = fold(password);
    if ([...folded].length >= LEAST_CHARACTERS) entries.add(fingerprint(folded).toString('latin1'));
  }
  const counts = Buffer.alloc(BUCKETS);
  const sorted = [...entries].sort().map((entry) => Buffer.from(entry, 'latin1'));
  for (const entry of sorted) {
    const bucket = entry.readUInt16BE(0);
    counts.writeUInt8(counts.readUInt8(bucket) + 1, bucket);
  }
  return Buffer.concat([counts, ...sorted.map((entry) => entry.subarray(2))]);
}

/** The passwords that everybody tries first. */
class CommonPasswords {
  /** @param {Buffer} file */
  constructor(file) {
    this.file = file;
    /** Where the remainders of each bucket begin, and where those of the last one end. */
    this.starts = new Uint32Array(BUCKETS + 1);
    let position = BUCKETS;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      this.starts[bucket] = position;
      position += file.readUInt8(bucket) * REMAINDER_BYTES;
    }
    this.starts[BUCKETS] = position;
    if (position !== file.length) throw new Error('common-passwords.bin is damaged');
  }

  /**
   * @param {string} password
   * @returns {boolean}
   */
  has(password) {
    const wanted = fingerprint(fold(password));
    const bucket = wanted.readUInt16BE(0);
    const end = this.starts[bucket + 1] ?? 0;
    for (let position = this.starts[bucket] ?? end; position < end; position += REMAINDER_BYTES) {
      if (this.file.compare(wanted, 2, undefined, position, position + REMAINDER_BYTES) === 0) return true;
    }
    return false;
  }
}

module.exports = { CommonPasswords, encode, fold };
