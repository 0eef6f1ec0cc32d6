import { destination, type DestinationStream } from 'pino';

/** Bytes of lines that are kept while they cannot be written. */
export const MOST_KEPT_BYTES = 256 * 1024;

/** Milliseconds until what is kept is tried again, where no line comes meanwhile. */
const RETRY_MS = 100;

/**
 * How often the end of the process tries a pipe again that is full, and the milliseconds in between: a quarter of a second in all. A stop
 * may have taken 9.5 seconds before, and supervisors kill after ten.
 */
const LAST_TRIES = 25;
const LAST_PAUSE_MS = 10;

/** Where lines go, as the logger wants it. */
export interface LogOutput extends DestinationStream {
  /** For the end of the process: writes what is kept, as far as that goes within a quarter of a second. */
  writeLast(): void;
}

/**
 * Where the lines of the log go. A full disk or a pipe that nobody reads must neither stop the process nor hold up requests: lines that
 * cannot be written are kept, up to `MOST_KEPT_BYTES`, and written later; beyond that they are lost and counted.
 *
 * @param fd file descriptor; where it is a pipe, one that does not block, as that of `process.stdout` is
 * @param tellLost called once lines can be written again, with how many are lost
 */
export function openLogOutput(fd: number, tellLost: (lines: number) => void): LogOutput {
  const output = destination({
    // Each line is written at once; with a least length of none, `flush` would do nothing.
    ...{ fd, sync: true, minLength: 1, maxLength: MOST_KEPT_BYTES },
    // The library would try a full pipe again and again, and the whole process sleep in between.
    retryEAGAIN: () => false,
  });
  let lost = 0;
  /** Of the last try: whether anything is kept. */
  let failure: NodeJS.ErrnoException | undefined;
  let retry: NodeJS.Timeout | undefined;
  const attempt = (write: () => void): void => {
    failure = undefined;
    write();
  };
  const writeKept = (): void => attempt(() => output.flush());
  // There is nowhere left to say so. What has failed is tried again, with the next line or by itself.
  output.on('error', (error: NodeJS.ErrnoException) => {
    failure = error;
    retry ??= setTimeout(() => {
      retry = undefined;
      writeKept();
    }, RETRY_MS).unref();
  });
  output.on('drop', () => {
    lost += 1;
    // Beyond the bound no line is tried that would take the others along.
    output.flush();
  });
  output.on('drain', () => {
    // It comes a moment later, when the next line may have found no room again.
    if (failure || lost === 0) return;
    const lines = lost;
    lost = 0;
    tellLost(lines);
  });
  // Without more of it than that: to flush before the end, as for a fatal error, the library would try a full disk for ever.
  return {
    write: (line) => attempt(() => output.write(line)),
    writeLast: () => {
      for (let tries = 0; failure && tries < LAST_TRIES; tries += 1) {
        writeKept();
        // Nobody makes room on a disk in that time.
        if (failure?.code !== 'EAGAIN') return;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LAST_PAUSE_MS);
      }
    },
  };
}
