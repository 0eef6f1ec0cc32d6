import { CsvError, parse } from 'csv-parse/sync';
import { parseScopes } from '../access/scopes';
import { IMPORTED_FIELDS } from '../users/imported-user';
import type { ImportLine } from '../users/user-import';
import { CommandError } from './command';
import { NOT_UTF8, type SourceLine, textOf, TOO_LONG } from './source-lines';

/** What stands on a line, or why that cannot be told, and whether it leaves a quote open. */
type Reading = { open: boolean } & ({ cells: string[] } | { fault: string });

/**
 * Users out of CSV with a header that names the fields. A cell that is empty is a field that is left out.
 *
 * Each line is read by itself, since no field has a value with a line break in it.
 *
 * @throws CommandError where the header cannot be understood
 */
export async function* readCsv(lines: AsyncIterable<SourceLine>): AsyncGenerator<ImportLine> {
  let body: CsvBody | undefined;
  for await (const source of lines) {
    if (source.bytes && textOf(source.bytes) === '') continue;
    if (body) yield body.read(source);
    else body = new CsvBody(readHeader(source));
  }
}

/** What stands below the header. */
class CsvBody {
  /** The line that has left open the quote behind which we are. */
  private openSince: number | undefined;

  constructor(private readonly header: string[]) {}

  /**
   * What CSV would count to the cell of an open quote is refused, line by line. It may be no more than a quote too many; but
   * somebody may also have had a name at the other system in which one line looks like a user of his making, with all scopes.
   */
  read(source: SourceLine): ImportLine {
    const { line } = source;
    const openSince = this.openSince;
    const reading = readingOf(source, openSince !== undefined);
    this.openSince = reading.open ? (openSince ?? line) : undefined;
    if (openSince !== undefined) {
      return { line, unreadable: `it stands behind the quote that line ${openSince} leaves open` };
    }
    if ('fault' in reading) return { line, unreadable: reading.fault };
    const { cells } = reading;
    if (cells.length !== this.header.length) {
      return {
        line,
        unreadable: `the line does not have as many cells as the header: ${cells.length} and ${this.header.length}`,
      };
    }
    return { line, record: toRecord(this.header, cells) };
  }
}

function readHeader(source: SourceLine): string[] {
  const reading = readingOf(source, false);
  if ('fault' in reading) {
    throw new CommandError(`This cannot be read as CSV: line ${source.line}: ${reading.fault}.`);
  }
  return requireKnown(reading.cells);
}

/** @param within whether an earlier line has left a quote open */
function readingOf({ bytes, oddQuotes }: SourceLine, within: boolean): Reading {
  // In CSV without a fault quotes come in pairs: around a cell, or two for one that belongs to it.
  if (bytes === undefined) return { open: oddQuotes !== within, fault: TOO_LONG };
  const text = textOf(bytes);
  const reading = parseLine(`${within ? '"' : ''}${text ?? bytes.toString('latin1')}`);
  return text === undefined ? { open: reading.open, fault: NOT_UTF8 } : reading;
}

function parseLine(text: string): Reading {
  try {
    const [cells = []] = parse(text, { record_delimiter: '\n' });
    return { open: false, cells };
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    // Not the parser's own sentence, which repeats a part of the line.
    if (error.code !== 'CSV_QUOTE_NOT_CLOSED') {
      return { open: false, fault: 'a quote stands in the middle of a cell' };
    }
    return { open: true, fault: 'a quote is left open, and no cell goes on in the next line' };
  }
}

function requireKnown(header: string[]): string[] {
  const known: readonly string[] = IMPORTED_FIELDS;
  // Of lines that end as on an old Macintosh the first would be the whole file.
  if (header.some((name) => name.includes('\r'))) {
    throw new CommandError('This cannot be read as CSV: its lines end with CR alone; write LF or CRLF.');
  }
  const unknown = header.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new CommandError(
      `The header names '${unknown}', which is no field; there are ${known.join(', ')}.`,
    );
  }
  const twice = header.find((name, index) => header.indexOf(name) !== index);
  if (twice !== undefined) throw new CommandError(`The header names '${twice}' twice.`);
  return header;
}

/** CSV knows text only. What is neither `true` nor `false` stays text, to be refused as such. */
function toRecord(header: string[], cells: string[]): Record<string, unknown> {
  const filled = header.flatMap((name, index) => {
    const value = cells[index] ?? '';
    return value === '' ? [] : [[name, value] as const];
  });
  return Object.fromEntries(
    filled.map(([name, value]): [string, unknown] => {
      if (name === 'disabled' && ['true', 'false'].includes(value)) return [name, value === 'true'];
      return [name, name === 'scopes' ? parseScopes(value) : value];
    }),
  );
}
