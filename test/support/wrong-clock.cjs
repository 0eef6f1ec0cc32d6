// @ts-check
// Loaded before a program with `--require`: has its `Date` be off by as many milliseconds as WRONG_CLOCK_MS says, and nothing else.
'use strict';

const process = require('node:process');

const wrongBy = Number(process.env['WRONG_CLOCK_MS']);
const RightDate = globalThis.Date;

globalThis.Date = /** @type {DateConstructor} */ (
  class Date extends RightDate {
    /** @param {[]} given */
    constructor(...given) {
      if (given.length === 0) super(Date.now());
      else super(...given);
    }

    /** @override */
    static now() {
      return RightDate.now() + wrongBy;
    }
  }
);
