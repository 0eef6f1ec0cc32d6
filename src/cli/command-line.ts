import { parseArgs } from 'node:util';
import { type Command, type CommandOption, type Given, UsageError } from './command';
import { nearMiss } from './near-miss';

/** What every command takes. */
export const COMMON_OPTIONS: Record<string, CommandOption> = {
  json: { summary: 'answers for programs: each line of standard output is a JSON object' },
  help: { summary: 'explains the command' },
};

/** What people try although it would show in the process list and in the shell's history. */
const PASSWORD_OPTIONS = ['password', 'passwd', 'pass'];

/** A command that was understood. */
export interface ParsedLine {
  command: Command;
  given: Given;
  json: boolean;
}

type OptionToken = Extract<NonNullable<ReturnType<typeof tokensOf>>[number], { kind: 'option' }>;

/**
 * Understands a command line, the program's own name left out.
 *
 * @throws UsageError that names what comes nearest
 */
export function parseLine(line: string[], commands: readonly Command[]): ParsedLine {
  const command = findCommand(line, commands);
  const known = { ...command.options, ...COMMON_OPTIONS };
  const given = { words: [] as string[], options: {} as Record<string, string>, flags: new Set<string>() };
  for (const token of tokensOf(line.slice(command.name.split(' ').length), known)) {
    if (token.kind === 'positional') given.words.push(token.value);
    if (token.kind === 'option') takeOption(token, command, known, given);
  }
  requireWords(command, given.words);
  requireOptions(command, given.options);
  return { command, given, json: given.flags.has('json') };
}

/** @throws UsageError */
export function findCommand(line: string[], commands: readonly Command[]): Command {
  // Word by word: what is passed over as the command's name must be no option.
  const found = commands.find(({ name }) => name.split(' ').every((word, index) => line[index] === word));
  if (found) return found;
  const [subject = '', verb] = line;
  if (subject.includes(' ')) {
    throw new UsageError(
      `'${subject}' is one word; write each word of a command without quotes around them.`,
    );
  }
  if (subject.startsWith('-')) throw new UsageError(`The command comes before '${subject}'.`);
  const verbs = commands
    .map(({ name }) => name.split(' '))
    .flatMap(([first, second]) => (first === subject && second !== undefined ? [second] : []));
  if (verbs.length > 0) throw new UsageError(describeUnknownVerb(subject, verb, verbs));
  const typed = line.slice(0, 2).join(' ');
  const meant = nearMiss(
    typed,
    commands.map(({ name }) => name),
  );
  throw new UsageError(`There is no command '${typed}'.${meant ? ` Did you mean '${meant}'?` : ''}`);
}

function describeUnknownVerb(subject: string, verb: string | undefined, verbs: string[]): string {
  const known = verbs.join(', ');
  if (verb === undefined || verb.startsWith('-')) return `'${subject}' goes on with one of: ${known}.`;
  const meant = nearMiss(verb, verbs);
  const hint = meant ? `Did you mean '${subject} ${meant}'?` : `'${subject}' goes on with one of: ${known}.`;
  return `There is no command '${subject} ${verb}'. ${hint}`;
}

function requireOptions({ name, options = {} }: Command, given: Record<string, string>): void {
  for (const [option, { value, required }] of Object.entries(options))
    if (required && !(option in given)) throw new UsageError(`'${name}' needs --${option} ${value}.`);
}

/** Not strict: the library's own complaints name no near miss, and would repeat a password that was typed. */
function tokensOf(args: string[], known: Record<string, CommandOption>) {
  const options = Object.fromEntries(
    Object.entries(known).map(([name, { value }]) => [
      name,
      { type: value === undefined ? ('boolean' as const) : ('string' as const) },
    ]),
  );
  return parseArgs({ args, options, allowPositionals: true, strict: false, tokens: true }).tokens;
}

function takeOption(
  { name, rawName, value, inlineValue }: OptionToken,
  command: Command,
  known: Record<string, CommandOption>,
  given: { options: Record<string, string>; flags: Set<string> },
): void {
  const option = Object.hasOwn(known, name) && rawName.startsWith('--') ? known[name] : undefined;
  if (!option) throw new UsageError(describeUnknownOption(rawName, command, Object.keys(known)));
  if (given.flags.has(name) || name in given.options) throw new UsageError(`${rawName} stands there twice.`);
  if (option.value === undefined) {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value.`);
    given.flags.add(name);
    return;
  }
  const missing = value === undefined || (!inlineValue && value.length > 1 && value.startsWith('-'));
  if (missing || value === '') throw new UsageError(`${rawName} needs a value: ${rawName} ${option.value}.`);
  given.options[name] = value;
}

function describeUnknownOption(rawName: string, { name }: Command, known: string[]): string {
  const typed = rawName.replace(/^-+/, '');
  if (PASSWORD_OPTIONS.includes(typed.toLowerCase())) {
    return `${rawName}: a password on the command line can be read in the process list; give it on standard input.`;
  }
  const meant = nearMiss(typed, known);
  return `'${name}' has no option ${rawName}.${meant ? ` Did you mean --${meant}?` : ''}`;
}

function requireWords({ parameters, name }: Command, words: string[]): void {
  const { least, most, missing } = parameters ?? { least: 0, most: 0, missing: '' };
  if (words.length < least) throw new UsageError(missing);
  if (words.length <= most) return;
  throw new UsageError(most === 0 ? `'${words[0]}' has no meaning behind '${name}'.` : missing);
}
