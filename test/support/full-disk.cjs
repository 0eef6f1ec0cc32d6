// @ts-check
// Loaded before a program with `--require`: on SIGUSR2 its standard output has no room left, which the file says that NO_ROOM names, and
// on the next one it has some in the file that ROOM names.
'use strict';

const { closeSync, openSync, writeFileSync } = require('node:fs');
const process = require('node:process');

const STANDARD_OUTPUT = 1;
const places = ['/dev/full', process.env['ROOM'] ?? ''];

process.on('SIGUSR2', () => {
  closeSync(STANDARD_OUTPUT);
  // A descriptor that is new is the least that is free.
  const opened = openSync(places.shift() ?? '', 'w');
  if (opened !== STANDARD_OUTPUT) throw new Error(`Standard output is now ${opened}`);
  if (places.length > 0) writeFileSync(process.env['NO_ROOM'] ?? '', '');
});
