// @ts-check
// Runs in a worker thread of its own: the dictionaries take 60 MB and 0.2 s to load, and an estimate takes milliseconds.
// JavaScript, so that the thread starts alike from the build and from the sources under test.
'use strict';

const { readFileSync } = require('node:fs');
const { workerData } = require('piscina');
const { ZxcvbnFactory } = require('@zxcvbn-ts/core');
const common = require('@zxcvbn-ts/language-common');
const english = require('@zxcvbn-ts/language-en');
const { CommonPasswords, fold } = require('./common-passwords.js');

/** Guesses that a password must withstand: what an online attacker might try in years, and a list holds at most. */
const LEAST_GUESSES = 1e8;

/** What must be left of a password that holds personal words when they are taken out. */
const LEAST_REST = 8;

/**
 * UTF-16 units estimated at once. The time grows faster than the length: 30 ms for 32, seconds for 256. A password is at
 * least as hard to guess as any part of it, so one hard part will do.
 */
const PART_LENGTH = 32;

/** Parts estimated at most. Whoever fills 128 units with guessable text is refused, however it goes on. */
const MOST_PARTS = 4;

const commonPasswords = new CommonPasswords(readFileSync(workerData.commonPasswordsFile));

const zxcvbn = new ZxcvbnFactory({
  dictionary: { ...common.dictionary, ...english.dictionary },
  graphs: common.adjacencyGraphs,
  maxLength: PART_LENGTH,
  // Of 100 ways to read digits as letters, its default, a password of 32 digits takes all: 400 ms.
  l33tMaxSubstitutions: 5,
});

/**
 * What is wrong with a new password: `common` if others have it or guess it, `personal` if it is made of the words given.
 *
 * @param {{ password: string, words: string[] }} task `words` in lower case, the longest first
 * @returns {'common' | 'personal' | null}
 */
module.exports = ({ password, words }) => {
  if (restsOnWords(fold(password), words)) return 'personal';
  if (commonPasswords.has(password)) return 'common';
  const parts = partsOf(password.normalize('NFKC'));
  if (parts.some((part) => zxcvbn.check(part, words).guesses >= LEAST_GUESSES)) return null;
  return parts.some((part) => zxcvbn.check(part).guesses >= LEAST_GUESSES) ? 'personal' : 'common';
};

/**
 * @param {string} folded
 * @param {string[]} words
 */
function restsOnWords(folded, words) {
  const rest = words.reduce((text, word) => text.replaceAll(word, ''), folded);
  return rest !== folded && [...rest].length < LEAST_REST;
}

/**
 * The different parts of a text, none of them cut through a character.
 *
 * @param {string} text
 */
function partsOf(text) {
  /** @type {Set<string>} */
  const parts = new Set();
  let part = '';
  for (const character of text) {
    if (part.length + character.length > PART_LENGTH) {
      parts.add(part);
      if (parts.size === MOST_PARTS) return [...parts];
      part = '';
    }
    part += character;
  }
  return [...parts.add(part)];
}
