// @ts-check
// Loaded before a program with `--require`: on SIGUSR2 it does what no program should, in the way that ERROR_NOBODY_CATCHES names.
'use strict';

const process = require('node:process');
const { setImmediate } = require('node:timers');

process.on('SIGUSR2', () => {
  const error = new Error('an error that nobody catches');
  if (process.env['ERROR_NOBODY_CATCHES'] === 'rejection') void Promise.reject(error);
  else
    setImmediate(() => {
      throw error;
    });
});
