import { type FileHandle, open } from 'node:fs/promises';
import { SystemClock } from '../core/clock';
import { type LineOutcome, UserImport } from '../users/user-import';
import { type Command, CommandError, UsageError } from './command';
import { type ImportFormat, openSource, readLines } from './import-source';
import { atTheConsole } from './operator';
import { Progress } from './progress';

/** Refused lines that are told of where there is no file for them. */
const MOST_SHOWN = 20;

type Refused = Extract<LineOutcome, { kind: 'refused' }>;

export const IMPORT_COMMANDS: Command[] = [
  {
    name: 'user import',
    parameters: { shown: 'FILE', least: 1, most: 1, missing: "Name one file, or '-' for standard input." },
    summary: 'makes accounts for users of another system, with the password hashes that were kept there',
    options: {
      format: { value: 'FORMAT', summary: 'ndjson or csv; by the name of the file if it is left out' },
      refused: { value: 'FILE', summary: 'where to write the lines that were refused, and why, as JSON' },
    },
    examples: [
      {
        line: 'latchkey user import users.jsonl --refused refused.jsonl',
        purpose: 'repeat it if it was cut short',
      },
      { line: 'zcat users.csv.gz | latchkey user import - --format csv', purpose: 'from standard input' },
    ],
    async run({ words: [file = ''], options }, { services }) {
      const format = formatOf(file, options['format']);
      const source = await openSource(file);
      const refusals = await RefusalReport.open(options['refused']);
      const context = await services();
      const counts = { imported: 0, present: 0, refused: 0 };
      const progress = new Progress(new SystemClock());
      const outcomes = context.get(UserImport).importAll(readLines(source, format), atTheConsole(context));
      try {
        for await (const outcome of outcomes) {
          counts[outcome.kind] += 1;
          if (outcome.kind === 'refused') await refusals.add(outcome);
          progress.show(`${describe(counts)}, at line ${outcome.line}`);
        }
      } finally {
        progress.end();
        await refusals.close();
      }
      return { text: `${describe(counts)}.`, data: counts, bad: counts.refused > 0 };
    },
  },
];

function formatOf(file: string, given: string | undefined): ImportFormat {
  const format = given ?? (/\.csv$/i.test(file) ? 'csv' : 'ndjson');
  if (format !== 'csv' && format !== 'ndjson')
    throw new UsageError(`--format is ndjson or csv, not '${format}'.`);
  return format;
}

function describe({ imported, present, refused }: Record<LineOutcome['kind'], number>): string {
  return `${imported} imported, ${present} there already, ${refused} refused`;
}

/** Tells of refused lines: all of them in a file, or the first of them on standard error. */
class RefusalReport {
  private shown = 0;

  private constructor(private readonly file: { handle: FileHandle; path: string } | undefined) {}

  /** @throws CommandError where the file cannot be written */
  static async open(path: string | undefined): Promise<RefusalReport> {
    if (path === undefined) return new RefusalReport(undefined);
    return new RefusalReport({ path, handle: await open(path, 'w', 0o600).catch(cannotWrite(path)) });
  }

  /** @throws CommandError where the file cannot take it: a report with a gap would pass for a whole one */
  async add({ line, field, reason }: Refused): Promise<void> {
    if (this.file) {
      const { handle, path } = this.file;
      await handle.appendFile(`${JSON.stringify({ line, field, reason })}\n`).catch(cannotWrite(path));
      return;
    }
    this.shown += 1;
    if (this.shown > MOST_SHOWN + 1) return;
    process.stderr.write(
      this.shown > MOST_SHOWN
        ? 'More are refused; --refused FILE tells of all.\n'
        : `line ${line}: ${field === '' ? '' : `${field}: `}${reason}\n`,
    );
  }

  async close(): Promise<void> {
    await this.file?.handle.close();
  }
}

function cannotWrite(path: string): (error: unknown) => never {
  return (error) => {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new CommandError(`${path} cannot be written (${reason}).`);
  };
}
