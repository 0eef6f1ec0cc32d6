// @ts-check
// Runs in a worker thread. JavaScript, so that the thread starts alike from the build and from the sources under test.
'use strict';

const { createHash, pbkdf2Sync, scryptSync, timingSafeEqual } = require('node:crypto');
const argon2 = require('@node-rs/argon2');

const ARGON2ID = 2;

/**
 * @typedef {{ memoryKib: number, passes: number, lanes: number }} HashCost
 * @typedef {import('./stored-hash').StoredHash} StoredHash
 * @typedef {{ kind: 'hash', password: string, cost: HashCost } | { kind: 'verify', password: string, hash: StoredHash }} HashTask
 */

/**
 * Hashes a password (PHC string) or tells whether it is the one behind a hash.
 *
 * @param {HashTask} task
 * @returns {string | boolean}
 */
module.exports = (task) => {
  if (task.kind === 'verify') return verify(task.hash, task.password);
  return argon2.hashSync(task.password, {
    algorithm: ARGON2ID,
    memoryCost: task.cost.memoryKib,
    timeCost: task.cost.passes,
    parallelism: task.cost.lanes,
  });
};

/**
 * @param {StoredHash} hash
 * @param {string} password
 * @returns {boolean}
 */
function verify(hash, password) {
  // Computed also for a password that is refused whatever comes out: the time it takes does not tell.
  return isBehind(hash, password) && !losesNul(hash, password);
}

/**
 * @param {StoredHash} hash
 * @param {string} password
 * @returns {boolean}
 */
function isBehind(hash, password) {
  switch (hash.scheme) {
    case 'argon2':
      return argon2.verifySync(hash.text, password);
    case 'bcrypt':
      // Loaded when the first one comes: most services never see any. Bytes beyond the 72nd do not count, as in every bcrypt.
      return require('@node-rs/bcrypt').verifySync(hash.digested ? sha256(password) : password, hash.text);
    case 'scrypt': {
      const { cost, blockSize, lanes, salt, digest } = hash;
      const maxmem = 256 * blockSize * (cost + lanes + 1);
      const options = { cost, blockSize, parallelization: lanes, maxmem };
      return timingSafeEqual(scryptSync(password, salt, digest.length, options), digest);
    }
    case 'pbkdf2': {
      const { algorithm, iterations, salt, digest } = hash;
      return timingSafeEqual(pbkdf2Sync(password, salt, iterations, digest.length, algorithm), digest);
    }
  }
}

/**
 * Whether this algorithm may take the password for another one, which has a NUL less. bcrypt repeats its key with a NUL behind
 * it, so that P, NUL, P is the same as P; HMAC, of which PBKDF2 and scrypt are made, fills its key up with NULs (RFC 2104).
 *
 * @param {StoredHash} hash
 * @param {string} password
 * @returns {boolean}
 */
function losesNul(hash, password) {
  if (hash.scheme === 'argon2') return false;
  if (hash.scheme === 'bcrypt') return !hash.digested && password.includes('\0');
  return password.endsWith('\0');
}

/**
 * What Django gives to bcrypt instead of a password that may be longer than 72 bytes.
 *
 * @param {string} password
 */
const sha256 = (password) => createHash('sha256').update(password).digest('hex');
