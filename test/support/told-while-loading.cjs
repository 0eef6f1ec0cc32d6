// @ts-check
// Loaded before a program with `--require`: tells it to stop while it is still loading its code.
'use strict';

const Module = require('node:module');
const process = require('node:process');

const loader = /** @type {{ _load: (request: string, ...rest: unknown[]) => unknown }} */ (
  /** @type {unknown} */ (Module)
);
const load = loader._load;
/** @param {string} request @param {unknown[]} rest */
loader._load = (request, ...rest) => {
  if (request === '@photostructure/sqlite') {
    loader._load = load;
    process.kill(process.pid, 'SIGTERM');
  }
  return load(request, ...rest);
};
