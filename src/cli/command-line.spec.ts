import { UsageError } from './command';
import { parseLine } from './command-line';
import { COMMANDS } from './commands';
import { asksForHelp, explain } from './help';

const parse = (...line: string[]) => parseLine(line, COMMANDS);

const complaint = (...line: string[]): string => {
  try {
    parse(...line);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return 'understood';
};

describe('a command line', () => {
  it('is a command, its words and its options, in any order', () => {
    const { command, given, json } = parse(
      'session',
      'list',
      '--json',
      '--user',
      'sam',
      '--since=2026-11-01',
    );

    expect(command.name).toBe('session list');
    expect(given.options).toEqual({ user: 'sam', since: '2026-11-01' });
    expect(json).toBe(true);
  });

  it('takes words that begin like options behind --', () => {
    expect(parse('user', 'show', '--', '--sam').given.words).toEqual(['--sam']);
  });

  it.each<[string, string[], RegExp]>([
    [
      'an option that is nearly one',
      ['user', 'list', '--disable'],
      /no option --disable\. Did you mean --disabled/,
    ],
    ['an option like no other', ['user', 'list', '--frobnicate'], /no option --frobnicate\.$/],
    ['a short option', ['user', 'list', '-d'], /no option -d/],
    ['an option without its value', ['session', 'list', '--user'], /--user needs a value: --user NAME/],
    ['an option with another in its place', ['session', 'list', '--user', '--json'], /--user needs a value/],
    ['an option with nothing behind =', ['session', 'list', '--user='], /--user needs a value/],
    ['a value where none belongs', ['user', 'list', '--json=yes'], /--json takes no value/],
    ['an option twice', ['session', 'list', '--user', 'a', '--user', 'b'], /--user stands there twice/],
    ['a word too many', ['cleanup', 'everything'], /'everything' has no meaning behind 'cleanup'/],
    ['a word too few', ['key', 'disable'], /Name one key/],
    ['an option too few', ['user', 'create', '--username', 'a'], /'user create' needs --email ADDRESS\.$/],
    ['a verb that is nearly one', ['user', 'exprot'], /Did you mean 'user export'/],
    ['a verb like no other', ['session', 'frobnicate'], /'session' goes on with one of: list, revoke/],
    ['no verb', ['key'], /'key' goes on with one of: list, disable/],
    ['a command that is nearly one', ['clenup'], /Did you mean 'cleanup'/],
    ['a command like no other', ['frobnicate'], /There is no command 'frobnicate'\.$/],
    ['a command in quotes', ['user list', '--disabled'], /'user list' is one word; write each word/],
    ['a line in quotes', ['user list --disabled'], /'user list --disabled' is one word/],
    ['a word that goes on', ['user', 'list --disabled'], /There is no command 'user list --disabled'/],
    ['an option before the command', ['--json', 'user', 'list'], /The command comes before '--json'/],
  ])('is refused with %s, and what was meant is named', (_, line, sentence) => {
    expect(complaint(...line)).toMatch(sentence);
  });

  it.each(['--password=hunter22', '--passwd', '--PASSWORD'])('never holds a password: %s', (option) => {
    const said = complaint('user', 'create', option, 'hunter22');

    expect(said).toMatch(/standard input/);
    expect(said).not.toContain('hunter22');
  });
});

describe('the help', () => {
  it.each([[[]], [['help']], [['--help']], [['-h']], [['user', '--help']]])('is asked for by %j', (line) => {
    expect(asksForHelp(line)).toBe(true);
  });

  it('is not asked for by a word behind --', () => {
    expect(asksForHelp(['user', 'show', '--', '--help'])).toBe(false);
  });

  it('lists every command', () => {
    const overview = explain([], COMMANDS);

    expect(COMMANDS.filter(({ name }) => !overview.includes(`  ${name}`))).toEqual([]);
  });

  it('lists those that begin with a word', () => {
    const overview = explain(['help', 'session'], COMMANDS);

    expect(overview).toContain('session revoke');
    expect(overview).not.toContain('user create');
  });

  it.each(COMMANDS.map(({ name }) => [name] as const))(
    'explains %s, with examples that are understood',
    (name) => {
      const pages = [
        explain(['help', ...name.split(' ')], COMMANDS),
        explain([...name.split(' '), '--help'], COMMANDS),
      ];
      const command = COMMANDS.find((one) => one.name === name);

      expect(pages[0]).toBe(pages[1]);
      expect(pages[0]).toContain('Example');
      for (const option of Object.keys(command?.options ?? {})) expect(pages[0]).toContain(`--${option}`);
      for (const { line } of command?.examples ?? []) {
        const [, words = ''] = /latchkey ([^|>)]*)/.exec(line) ?? [];
        expect(complaint(...words.trim().split(' '))).toBe('understood');
      }
    },
  );

  it('knows no command that is not there', () => {
    expect(() => explain(['help', 'user', 'exprot'], COMMANDS)).toThrow("Did you mean 'user export'");
  });
});
