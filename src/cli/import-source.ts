import { once } from 'node:events';
import { createReadStream, type ReadStream } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { parseScopes } from '../access/scopes';
import { IMPORTED_FIELDS } from '../users/imported-user';
import type { ImportLine } from '../users/user-import';
import { CommandError } from './command';

/** Bytes of a line at most; what is longer is told of and passed over, without being kept. */
export const LONGEST_LINE = 64 * 1024;

const NEWLINE = 0x0a;

/** What an import can read. */
export type ImportFormat = 'ndjson' | 'csv';

/**
 * The file, or standard input for `-`, opened.
 *
 * @throws CommandError where it cannot be
 */
export async function openSource(file: string): Promise<Readable> {
  if (file === '-') return process.stdin;
  const stream = createReadStream(file);
  try {
    await once(stream, 'open');
    return stream;
  } catch (error) {
    throw cannotBeRead(file, error);
  }
}

/**
 * The lines of a source, whatever it holds, in memory that does not depend on its length.
 *
 * @throws CommandError where the source fails: a folder can be opened and only then not be read, a disk can fail in mid-file
 */
export async function* readLines(source: Readable, format: ImportFormat): AsyncGenerator<ImportLine> {
  try {
    yield* format === 'csv' ? readCsv(source) : readNdjson(source);
  } catch (error) {
    if (error !== source.errored) throw error;
    throw cannotBeRead((source as Partial<ReadStream>).path ?? 'Standard input', error);
  }
}

function cannotBeRead(name: string | Buffer, error: unknown): CommandError {
  return new CommandError(
    `${name.toString()} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'}).`,
    { cause: error },
  );
}

async function* readNdjson(source: Readable): AsyncGenerator<ImportLine> {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  let line = 0;
  for await (const bytes of splitLines(source)) {
    line += 1;
    if (bytes === undefined) {
      yield { line, unreadable: `the line is longer than ${LONGEST_LINE} bytes` };
      continue;
    }
    let text: string;
    try {
      text = utf8.decode(bytes);
    } catch {
      yield { line, unreadable: 'the line is not UTF-8' };
      continue;
    }
    if (text.trim() === '') continue;
    try {
      yield { line, record: JSON.parse(text) };
    } catch {
      // Not the parser's own sentence, which repeats a part of the line.
      yield { line, unreadable: 'the line is not JSON' };
    }
  }
}

/** `undefined` stands for a line that is too long. */
async function* splitLines(source: Readable): AsyncGenerator<Buffer | undefined> {
  let parts: Buffer[] = [];
  let length = 0;
  const take = (part: Buffer) => {
    length += part.length;
    if (length <= LONGEST_LINE) parts.push(part);
  };
  const finish = (): Buffer | undefined => {
    const line = length <= LONGEST_LINE ? Buffer.concat(parts) : undefined;
    parts = [];
    length = 0;
    return line;
  };
  for await (const chunk of source as AsyncIterable<Buffer>) {
    let begin = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, begin)) {
      take(chunk.subarray(begin, end));
      yield finish();
      begin = end + 1;
    }
    take(chunk.subarray(begin));
  }
  if (length > 0) yield finish();
}

/** With a header that names the fields. A cell that is empty is a field that is left out. */
async function* readCsv(source: Readable): AsyncGenerator<ImportLine> {
  const parser = parse<ImportLine, Record<string, string>>({
    columns: requireKnown,
    ...{ bom: true, skip_empty_lines: true, max_record_size: LONGEST_LINE },
    on_record: (cells, { lines }) => ({ line: lines, record: toRecord(cells) }),
    skip_records_with_error: true,
    on_skip: (error): undefined => {
      // Behind a record that is too long the parser finds no other.
      if (error?.code === 'CSV_MAX_RECORD_SIZE') throw error;
      const line = typeof error?.['lines'] === 'number' ? error['lines'] : 0;
      // Among the records, in its turn, so that it too waits in the parser until somebody asks.
      parser.push({ line, unreadable: `the line is not CSV with that header (${error?.code})` });
      return undefined;
    },
  });
  // A failure of the source comes out as one of the parser's, and who stops reading closes both.
  pipeline(source, parser, () => undefined);
  try {
    yield* parser as AsyncIterable<ImportLine>;
  } catch (error) {
    if (error instanceof CsvError) throw new CommandError(`This cannot be read as CSV: ${error.message}.`);
    throw error;
  }
}

function requireKnown(header: string[]): string[] {
  const known: readonly string[] = IMPORTED_FIELDS;
  const unknown = header.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new CommandError(
      `The header names '${unknown}', which is no field; there are ${known.join(', ')}.`,
    );
  }
  return header;
}

/** CSV knows text only. What is neither `true` nor `false` stays text, to be refused as such. */
function toRecord(cells: Record<string, string>): Record<string, unknown> {
  const filled = Object.entries(cells).filter(([, value]) => value !== '');
  return Object.fromEntries(
    filled.map(([name, value]): [string, unknown] => {
      if (name === 'disabled' && ['true', 'false'].includes(value)) return [name, value === 'true'];
      return [name, name === 'scopes' ? parseScopes(value) : value];
    }),
  );
}
