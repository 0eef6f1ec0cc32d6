import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { createContext } from '../app';
import { loadConfig } from '../config/load-config';
import { createLog } from '../core/log';
import { AUDIT_COMMANDS } from './audit-commands';
import { type Command, UsageError } from './command';
import { exitWith } from './failure';
import { MAINTENANCE_COMMANDS } from './maintenance-commands';
import { print } from './standard-output';
import { USER_COMMANDS } from './user-commands';

const COMMANDS: Command[] = [...USER_COMMANDS, ...MAINTENANCE_COMMANDS, ...AUDIT_COMMANDS];

const USAGE = [
  'latchkey: what an operator does, on the database that the settings name. Works while the server runs.',
  '',
  ...COMMANDS.map(({ name, parameters, summary }) => `  ${name} ${parameters}\n      ${summary}`),
  '',
  '  --json   answer for programs',
  '  --help   this text',
  '',
  'Exits with 0 when done, 1 when it cannot be done or found a fault, 2 when it is not understood.',
  '',
].join('\n');

async function main(line: string[]): Promise<void> {
  // The database that a first command makes is its owner's only, like one that the server makes.
  process.umask(0o077);
  if (line.length === 0 || line.includes('--help')) {
    process.stdout.write(USAGE);
    return;
  }
  const command = COMMANDS.find(({ name }) => `${line.join(' ')} `.startsWith(`${name} `));
  if (!command) throw new UsageError(`There is no command '${line.slice(0, 2).join(' ')}'.`);
  const { values, positionals } = parse(command, line.slice(command.name.split(' ').length));
  const { json, ...options } = values as { json?: boolean } & Record<string, string | undefined>;
  const context = await createContext(loadConfig(process.env), createLog('warn'));
  try {
    const report = await command.run(context, { words: positionals, options }, print);
    if (!report) return;
    await print(json ? JSON.stringify(report.data) : report.text);
    if (report.bad) process.exitCode = 1;
  } finally {
    await context.close();
  }
}

function parse({ options }: Command, args: string[]) {
  try {
    return parseArgs({ args, options: { json: { type: 'boolean' }, ...options }, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

main(process.argv.slice(2)).catch(exitWith);
