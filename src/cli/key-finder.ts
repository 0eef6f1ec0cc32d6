import { API_KEY_PATTERN, hasChecksum } from '../crypto/api-key-format';

const PATTERN = new RegExp(API_KEY_PATTERN, 'g');

/** More than any key has characters, so that one which is cut in two by the end of a chunk is found in the next. */
const CARRIED_OVER = 64;

/** Characters of a key that are shown: enough to tell which it is, too few to use it. */
const SHOWN = 12;

/** Something in a text that has the form of a key. */
export interface Candidate {
  /** From 1. */
  line: number;
  /** From 1, in bytes. */
  column: number;
  /** The beginning of it. */
  masked: string;
  /** Whether its checksum is right: if so it is a key, of this service or of another that runs the same software. */
  checksum: boolean;
}

/** Finds keys in a stream of bytes of any kind and length, in memory that does not depend on it. */
export async function* findKeys(stream: AsyncIterable<Buffer | string>): AsyncGenerator<Candidate> {
  const window = new Window();
  for await (const chunk of stream) {
    // One character for each byte: keys are ASCII, and nothing else of a file matters.
    window.append(Buffer.from(chunk as Buffer).toString('latin1'));
    yield* window.candidatesBefore(window.text.length - CARRIED_OVER);
  }
  yield* window.candidatesBefore(window.text.length);
}

/** The part of a text that is being looked at, and where it stands in the whole. */
class Window {
  text = '';
  /** What lies before this has been looked at. One character of it stays, since the pattern looks back by one. */
  private position = 0;
  private line = 1;
  private column = 1;

  append(text: string): void {
    const kept = Math.max(0, this.position - 1);
    this.text = this.text.slice(kept) + text;
    this.position -= kept;
  }

  *candidatesBefore(end: number): Generator<Candidate> {
    for (const { 0: key, index } of this.text.matchAll(PATTERN)) {
      if (index < this.position) continue;
      if (index >= end) break;
      this.moveTo(index);
      const { line, column } = this;
      yield { line, column, masked: `${key.slice(0, SHOWN)}…`, checksum: hasChecksum(key) };
    }
    this.moveTo(end);
  }

  private moveTo(next: number): void {
    for (; this.position < next; this.position += 1) {
      if (this.text[this.position] === '\n') {
        this.line += 1;
        this.column = 1;
      } else {
        this.column += 1;
      }
    }
  }
}
