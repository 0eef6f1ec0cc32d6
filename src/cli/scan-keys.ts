import { createReadStream, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError } from './command';
import { exitWith } from './failure';
import { type Candidate, findKeys } from './key-finder';
import { guardStandardStreams } from './standard-streams';

/** Folders that hold other people's files, or files that are not text. */
const PASSED_OVER = ['.git', 'node_modules'];

const USAGE = [
  'keys:scan: looks for API keys in files, without asking anybody. Prints where, never a whole key.',
  '',
  '  npm run keys:scan -- PATH…   files and folders; - is standard input, as in: git log -p | npm run keys:scan -- -',
  '  --json                       one JSON object a line',
  '  --help                       this text',
  '',
  `Passes over ${PASSED_OVER.join(' and ')} inside a folder, and links.`,
  'Exits with 1 when something was found that looks real, 2 when something could not be read or told, else with 0.',
  '',
].join('\n');

interface Found extends Candidate {
  file: string;
}

/** Exit codes. */
const FOUND = 1;
const UNFINISHED = 2;

async function main(line: string[]): Promise<void> {
  const { paths, json, help } = parse(line);
  if (help) {
    process.stdout.write(USAGE);
    return;
  }
  if (paths.length === 0) throw new UsageError('Name a file or a folder.');
  // Whatever ends it before its end.
  process.exitCode = UNFINISHED;
  const unreadable: string[] = [];
  const counts = { real: 0, random: 0 };
  for (const file of paths.flatMap((path) => filesIn(path, unreadable))) {
    try {
      for await (const candidate of findKeys(file === '-' ? process.stdin : createReadStream(file))) {
        counts[candidate.checksum ? 'real' : 'random'] += 1;
        if (candidate.checksum) process.exitCode = FOUND;
        process.stdout.write(describe({ file, ...candidate }, json));
      }
    } catch (error) {
      unreadable.push(withReason(file, error));
    }
  }
  if (unreadable.length > 0) process.stderr.write(`Could not be read: ${unreadable.join(', ')}\n`);
  else if (counts.real === 0) process.exitCode = 0;
  if (!json) process.stdout.write(`${counts.real} that look real, ${counts.random} that do not.\n`);
}

function parse(args: string[]) {
  try {
    const options = { json: { type: 'boolean' }, help: { type: 'boolean' } } as const;
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    return { paths: positionals, json: values.json ?? false, help: values.help ?? false };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Every file at or below a path, in order. */
function filesIn(path: string, unreadable: string[]): string[] {
  if (path === '-') return [path];
  let found;
  try {
    found = statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    unreadable.push(withReason(path, error));
    return [];
  }
  if (!found) throw new UsageError(`There is no ${path}.`);
  if (!found.isDirectory()) return [path];
  return readFolder(path, unreadable);
}

function readFolder(folder: string, unreadable: string[]): string[] {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    unreadable.push(withReason(folder, error));
    return [];
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isFile()) return [path];
    return entry.isDirectory() && !PASSED_OVER.includes(entry.name) ? readFolder(path, unreadable) : [];
  });
}

function withReason(path: string, error: unknown): string {
  return `${path} (${(error as NodeJS.ErrnoException).code ?? 'unknown reason'})`;
}

function describe({ file, line, column, masked, checksum }: Found, json: boolean): string {
  if (json) return `${JSON.stringify({ file, line, column, key: masked, looksReal: checksum })}\n`;
  return `${file}:${line}:${column} ${masked} ${checksum ? 'looks real' : 'wrong checksum'}\n`;
}

const line = process.argv.slice(2);
const json = line.includes('--json');
guardStandardStreams({ json, failure: UNFINISHED });
main(line).catch((error: unknown) => {
  exitWith(error, json);
  // Not 1: that is a key.
  process.exitCode = UNFINISHED;
});
