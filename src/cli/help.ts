import type { Command, CommandOption } from './command';
import { COMMON_OPTIONS, findCommand } from './command-line';

const INTRODUCTION = [
  'latchkey: what an operator does, on the database that the settings name. Works while the server runs.',
  '',
];

const EXITS =
  'Exits with 0 when done, 1 when it cannot be done or found a fault, 2 when it is not understood.';

/** Whether somebody asks for an explanation instead of having something done. */
export function asksForHelp(line: string[]): boolean {
  const options = line.includes('--') ? line.slice(0, line.indexOf('--')) : line;
  return line.length === 0 || line[0] === 'help' || options.some((word) => ['--help', '-h'].includes(word));
}

/**
 * The explanation that `line` asks for: of one command, of those that begin with one word, or of all.
 *
 * @throws UsageError when it names no command
 */
export function explain(line: string[], commands: readonly Command[]): string {
  const words = line.filter((word) => !word.startsWith('-')).slice(line[0] === 'help' ? 1 : 0);
  const [subject] = words;
  if (subject === undefined) return overview(commands);
  const ofSubject = commands.filter(({ name }) => name.startsWith(`${subject} `));
  if (words.length === 1 && ofSubject.length > 0) return overview(ofSubject);
  return page(findCommand(words, commands));
}

/** A command with what may stand behind it. */
export function usageOf({ name, parameters, options = {} }: Command): string {
  const shown = Object.entries(options).map(([option, { value, required }]) => {
    const words = value === undefined ? `--${option}` : `--${option} ${value}`;
    return required ? words : `[${words}]`;
  });
  return [name, ...(parameters ? [parameters.shown] : []), ...shown].join(' ');
}

function overview(commands: readonly Command[]): string {
  const list = commands.map((command) => `  ${usageOf(command)}\n      ${command.summary}`);
  return [
    ...INTRODUCTION,
    ...list,
    '',
    optionLines(COMMON_OPTIONS),
    '',
    "'latchkey help user import' explains one command, with examples.",
    EXITS,
    '',
  ].join('\n');
}

function page(command: Command): string {
  const examples = command.examples.map(({ line, purpose }) => `  # ${purpose}\n  ${line}`);
  return [
    `latchkey ${usageOf(command)}`,
    '',
    `${command.summary}.`,
    '',
    optionLines({ ...command.options, ...COMMON_OPTIONS }),
    '',
    examples.length > 1 ? 'Examples:' : 'Example:',
    ...examples,
    '',
    EXITS,
    '',
  ].join('\n');
}

function optionLines(options: Record<string, CommandOption>): string {
  return Object.entries(options)
    .map(([name, { value, summary }]) => {
      const option = `--${name}${value === undefined ? '' : ` ${value}`}`;
      return `  ${option.padEnd(24)} ${summary}`;
    })
    .join('\n');
}
