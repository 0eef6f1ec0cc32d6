import { destination, type DestinationStream } from 'pino';

/** Bytes of lines that are kept while they cannot be written. */
export const MOST_KEPT_BYTES = 256 * 1024;

/**
 * Where the lines of the log go. That may be a disk that is full, beside a database that is full with it: no reason to end, and what
 * only reads is served meanwhile. Lines that cannot be written wait for the next one, as many as fit into the bound; later ones are lost.
 *
 * @param fd file descriptor
 * @param tellLost called once lines can be written again, with how many are lost
 */
export function openLogOutput(fd: number, tellLost: (lines: number) => void): DestinationStream {
  // Each line is written at once; with a least length of none, `flush` would do nothing.
  const output = destination({ fd, sync: true, minLength: 1, maxLength: MOST_KEPT_BYTES });
  let lost = 0;
  // There is nowhere left to say so. What has failed is tried again with the next line.
  output.on('error', () => undefined);
  output.on('drop', () => {
    lost += 1;
    // Beyond the bound nothing more would be tried by itself.
    output.flush();
  });
  output.on('drain', () => {
    if (lost === 0) return;
    const lines = lost;
    lost = 0;
    tellLost(lines);
  });
  // Without more of it than that: to flush before the end, as for a fatal error, the library would try a full disk for ever. There is
  // nothing to flush.
  return { write: (line) => void output.write(line) };
}
