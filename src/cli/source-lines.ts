import type { Readable } from 'node:stream';

/** Bytes of a line at most; what is longer is told of and passed over, without being kept. */
export const LONGEST_LINE = 64 * 1024;

/** Why such a line is refused. */
export const TOO_LONG = `the line is longer than ${LONGEST_LINE} bytes`;
export const NOT_UTF8 = 'the line is not UTF-8';

const NEWLINE = 0x0a;
const QUOTE = 0x22;

/** A line of a source, without what ends it. */
export interface SourceLine {
  /** From 1. */
  line: number;
  /** `undefined` where it is too long. */
  bytes: Buffer | undefined;
  /** Whether it holds an odd number of quotes, however long it is: all that is known of one that is not kept. */
  oddQuotes: boolean;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** What the bytes of a line say, without a byte order mark and a CR at its end; `undefined` where they are not UTF-8. */
export function textOf(bytes: Buffer): string | undefined {
  try {
    const text = utf8.decode(bytes);
    return text.endsWith('\r') ? text.slice(0, -1) : text;
  } catch {
    return undefined;
  }
}

/** The lines of a source, whatever it holds, in memory that does not depend on its length. */
export async function* splitLines(source: Readable): AsyncGenerator<SourceLine> {
  const open = new OpenLine();
  for await (const chunk of source as AsyncIterable<Buffer>) {
    let begin = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, begin)) {
      open.take(chunk.subarray(begin, end));
      yield open.finish();
      begin = end + 1;
    }
    open.take(chunk.subarray(begin));
  }
  if (open.begun) yield open.finish();
}

/** The line that is being read, in the parts in which it comes. */
class OpenLine {
  private line = 1;
  private parts: Buffer[] = [];
  private length = 0;
  private oddQuotes = false;

  get begun(): boolean {
    return this.length > 0;
  }

  take(part: Buffer): void {
    this.length += part.length;
    for (let at = part.indexOf(QUOTE); at !== -1; at = part.indexOf(QUOTE, at + 1)) {
      this.oddQuotes = !this.oddQuotes;
    }
    if (this.length <= LONGEST_LINE) this.parts.push(part);
    else this.parts = [];
  }

  finish(): SourceLine {
    const { line, oddQuotes } = this;
    const bytes = this.length <= LONGEST_LINE ? Buffer.concat(this.parts) : undefined;
    this.line += 1;
    this.parts = [];
    this.length = 0;
    this.oddQuotes = false;
    return { line, bytes, oddQuotes };
  }
}
