// @ts-check
// Runs in a worker thread. JavaScript, so that the thread starts alike from the build and from the sources under test.
'use strict';

const { hashSync, verifySync } = require('@node-rs/argon2');

const ARGON2ID = 2;

/**
 * @typedef {{ memoryKib: number, passes: number, lanes: number }} HashCost
 * @typedef {{ kind: 'hash', password: string, cost: HashCost } | { kind: 'verify', password: string, hash: string }} HashTask
 */

/**
 * Hashes a password (PHC string) or tells whether it is the one behind a hash.
 *
 * @param {HashTask} task
 * @returns {string | boolean}
 */
module.exports = (task) => {
  if (task.kind === 'verify') return verifySync(task.hash, task.password);
  return hashSync(task.password, {
    algorithm: ARGON2ID,
    memoryCost: task.cost.memoryKib,
    timeCost: task.cost.passes,
    parallelism: task.cost.lanes,
  });
};
