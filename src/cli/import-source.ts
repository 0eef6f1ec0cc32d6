import { once } from 'node:events';
import { createReadStream, type ReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import type { ImportLine } from '../users/user-import';
import { CommandError } from './command';
import { readCsv } from './csv-source';
import { NOT_UTF8, type SourceLine, splitLines, textOf, TOO_LONG } from './source-lines';

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
    const lines = splitLines(source);
    yield* format === 'csv' ? readCsv(lines) : readNdjson(lines);
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

async function* readNdjson(lines: AsyncIterable<SourceLine>): AsyncGenerator<ImportLine> {
  for await (const { line, bytes } of lines) {
    if (bytes === undefined) {
      yield { line, unreadable: TOO_LONG };
      continue;
    }
    const text = textOf(bytes);
    if (text === undefined) {
      yield { line, unreadable: NOT_UTF8 };
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
