import { fstatSync, type Stats } from 'node:fs';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { type LineOutcome, UserImport } from '../users/user-import';
import { type Command, CommandError, UsageError } from './command';
import { type ImportFormat, openSource, readLines } from './import-source';
import { atTheConsole } from './operator';
import type { Progress } from './progress';

/** Refused lines that are told of where there is no file for them. */
const MOST_SHOWN = 20;

type Refused = Extract<LineOutcome, { kind: 'refused' }>;

export const IMPORT_COMMANDS: Command[] = [
  {
    name: 'user import',
    mayInitialize: true,
    parameters: { shown: 'FILE', least: 1, most: 1, missing: "Name one file, or '-' for standard input." },
    summary: 'makes accounts for users of another system, with the password hashes that were kept there',
    options: {
      format: { value: 'FORMAT', summary: 'ndjson or csv; by the name of the file if it is left out' },
      refused: {
        value: 'FILE',
        summary:
          'a new file for the lines that were refused, and why, as JSON; FILE.partial until it is whole',
      },
    },
    examples: [
      {
        line: 'latchkey user import users.jsonl --refused refused.jsonl',
        purpose: 'repeat it if it was cut short',
      },
      { line: 'zcat users.csv.gz | latchkey user import - --format csv', purpose: 'from standard input' },
    ],
    async run({ words: [file = ''], options }, { services, progress }) {
      const format = formatOf(file, options['format']);
      const source = await openSource(file);
      // Before anything is made: where the service cannot be opened, there is nothing to report.
      const context = await services();
      const refusals = await RefusalReport.open(options['refused'], await statusOf(file), progress);
      const counts = { imported: 0, present: 0, refused: 0 };
      const outcomes = context.get(UserImport).importAll(readLines(source, format), atTheConsole(context));
      try {
        for await (const outcome of outcomes) {
          counts[outcome.kind] += 1;
          if (outcome.kind === 'refused') await refusals.add(outcome);
          progress.show(`${describe(counts)}, at line ${outcome.line}`);
        }
        await refusals.finish();
      } finally {
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

/** The source's own file, to be told from others whatever they are called. */
async function statusOf(source: string): Promise<Stats> {
  return source === '-' ? fstatSync(process.stdin.fd) : stat(source);
}

/** Where a report is written: beside its place until it is whole, or straight into what is no file, such as a pipe. */
interface ReportFile {
  handle: FileHandle;
  path: string;
  draft: string | undefined;
}

/**
 * Tells of refused lines: all of them in a file, or the first of them on standard error. A file appears whole or not at all, so
 * that a run that was cut short can be repeated as it stands; what is there already, the source above all, is not overwritten.
 */
class RefusalReport {
  private shown = 0;

  private constructor(
    private readonly file: ReportFile | undefined,
    private readonly progress: Progress,
  ) {}

  /** @throws CommandError where the file is there already, or cannot be written */
  static async open(path: string | undefined, source: Stats, progress: Progress): Promise<RefusalReport> {
    if (path === undefined) return new RefusalReport(undefined, progress);
    const existing = await statusIfThere(path);
    if (existing && isSame(existing, source)) throw new CommandError(`${path} is what is to be imported.`);
    if (existing?.isFile()) {
      throw new CommandError(`${path} is there already; name a new file, or move that one away.`);
    }
    const draft = existing ? undefined : `${path}.partial`;
    if (draft !== undefined) await clear(draft, source);
    const handle = await open(draft ?? path, draft ? 'wx' : 'w', 0o600).catch(cannotWrite(draft ?? path));
    return new RefusalReport({ handle, path, draft }, progress);
  }

  /** @throws CommandError where the file cannot take it: a report with a gap would pass for a whole one */
  async add({ line, field, reason }: Refused): Promise<void> {
    if (this.file) {
      const { handle, path, draft = path } = this.file;
      await handle.appendFile(`${JSON.stringify({ line, field, reason })}\n`).catch(cannotWrite(draft));
      return;
    }
    this.shown += 1;
    if (this.shown > MOST_SHOWN + 1) return;
    this.progress.tell(
      this.shown > MOST_SHOWN
        ? 'More are refused; --refused FILE tells of all.'
        : `line ${line}: ${field === '' ? '' : `${field}: `}${reason}`,
    );
  }

  /** Puts a whole report in its place. */
  async finish(): Promise<void> {
    if (this.file?.draft === undefined) return;
    await rename(this.file.draft, this.file.path).catch(cannotWrite(this.file.path));
  }

  async close(): Promise<void> {
    await this.file?.handle.close();
  }
}

/** Takes away what a run that was cut short has left. */
async function clear(draft: string, source: Stats): Promise<void> {
  const existing = await statusIfThere(draft);
  if (existing && isSame(existing, source)) throw new CommandError(`${draft} is what is to be imported.`);
  await rm(draft, { force: true }).catch(cannotWrite(draft));
}

function statusIfThere(path: string): Promise<Stats | undefined> {
  return stat(path).catch((error: NodeJS.ErrnoException) =>
    error.code === 'ENOENT' ? undefined : cannotWrite(path)(error),
  );
}

function isSame(one: Stats, other: Stats): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}

function cannotWrite(path: string): (error: unknown) => never {
  return (error) => {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new CommandError(`${path} cannot be written (${reason}).`);
  };
}
