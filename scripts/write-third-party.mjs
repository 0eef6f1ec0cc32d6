// @ts-check
// `npm run third-party`: writes `docs/third-party.md`, or the file named on the command line: everything that runs in
// production and was made by others, from the lock file.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Packages whose package.json names no licence; it stands in the file given. */
const LICENCES_IN_FILES = {
  'passport-strategy': 'MIT', // LICENSE
  pause: 'MIT', // Readme.md
};

/** @type {{ packages: Record<string, { version: string, license?: string, dev?: boolean }> }} */
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));

const rows = Object.entries(lock.packages)
  .filter(([path, { dev }]) => path !== '' && !dev)
  .map(([path, { version, license }]) => {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    return [name, version, license ?? LICENCES_IN_FILES[/** @type {never} */ (name)] ?? 'unknown'];
  })
  .sort((one, other) => (one.join(' ') < other.join(' ') ? -1 : 1));
const unique = [...new Map(rows.map((row) => [row.join(' '), row])).values()];

const text = `# Made by others

What runs in production and was made by others, with the version that is locked and the licence. \`npm run third-party\` writes this
page from \`package-lock.json\`; a test compares the two. \`npm sbom --omit=dev --sbom-format=cyclonedx\` says the same as a software
bill of materials, digests included.

${table([['Package', 'Version', 'Licence'], ...unique])}`;

writeFileSync(process.argv[2] ?? join(root, 'docs', 'third-party.md'), text);

/**
 * As Prettier would write it.
 *
 * @param {string[][]} rows
 */
function table(rows) {
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  const line = (/** @type {string[]} */ cells) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |\n`;
  const [head = [], ...body] = rows;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('');
}
