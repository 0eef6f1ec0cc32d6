import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Bytes from the end in which the last line is looked for: more than any line of an export has. */
const TAIL = 64 * 1024;

/**
 * The last line of a file that is not empty, in memory that does not depend on its length: an export grows for years.
 *
 * @throws what the file system says
 */
export function lastLineOf(file: string): string {
  const descriptor = openSync(file, 'r');
  try {
    return tailOf(descriptor).toString().trimEnd().split('\n').at(-1) ?? '';
  } finally {
    closeSync(descriptor);
  }
}

function tailOf(descriptor: number): Buffer {
  const status = fstatSync(descriptor);
  // In what is no file, such as a pipe, there are no places to read from.
  let position = status.isFile() ? Math.max(0, status.size - TAIL) : null;
  let tail = Buffer.alloc(0);
  const part = Buffer.alloc(TAIL);
  for (;;) {
    const length = readSync(descriptor, part, 0, TAIL, position);
    if (length === 0) return tail;
    tail = Buffer.concat([tail, part.subarray(0, length)]).subarray(-TAIL);
    if (position !== null) position += length;
  }
}
