import { createReadStream, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError } from './command';
import { exitWith } from './failure';
import { type Candidate, findKeys } from './key-finder';

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
  'Exits with 1 when something was found that looks real, 2 when something could not be read, else with 0.',
  '',
].join('\n');

interface Found extends Candidate {
  file: string;
}

async function main(line: string[]): Promise<void> {
  const { paths, json, help } = parse(line);
  if (help) {
    process.stdout.write(USAGE);
    return;
  }
  if (paths.length === 0) throw new UsageError('Name a file or a folder.');
  const unreadable: string[] = [];
  let real = 0;
  let random = 0;
  for (const file of paths.flatMap((path) => filesIn(path, unreadable))) {
    try {
      for await (const candidate of findKeys(file === '-' ? process.stdin : createReadStream(file))) {
        process.stdout.write(describe({ file, ...candidate }, json));
        if (candidate.checksum) real += 1;
        else random += 1;
      }
    } catch (error) {
      unreadable.push(`${file} (${(error as NodeJS.ErrnoException).code ?? 'unknown reason'})`);
    }
  }
  if (!json) process.stdout.write(`${real} that look real, ${random} that do not.\n`);
  if (unreadable.length > 0) {
    process.stderr.write(`Could not be read: ${unreadable.join(', ')}\n`);
    process.exitCode = 2;
  }
  if (real > 0) process.exitCode = 1;
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
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw new UsageError(`There is no ${path}.`);
  if (!found.isDirectory()) return [path];
  return readFolder(path, unreadable);
}

function readFolder(folder: string, unreadable: string[]): string[] {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    unreadable.push(`${folder} (${(error as NodeJS.ErrnoException).code ?? 'unknown reason'})`);
    return [];
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isFile()) return [path];
    return entry.isDirectory() && !PASSED_OVER.includes(entry.name) ? readFolder(path, unreadable) : [];
  });
}

function describe({ file, line, column, masked, checksum }: Found, json: boolean): string {
  if (json) return `${JSON.stringify({ file, line, column, key: masked, looksReal: checksum })}\n`;
  return `${file}:${line}:${column} ${masked} ${checksum ? 'looks real' : 'wrong checksum'}\n`;
}

main(process.argv.slice(2)).catch(exitWith);
