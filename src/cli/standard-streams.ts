/**
 * Lets a program outlive what it writes to. Errors of standard error are passed over: work must not end in the middle because
 * nobody can be told how far it is. Whoever reads standard output may have enough of it: `| head`. That is no failure, and does
 * not hide one: the exit code that was set stays. Any other error of standard output is told of, and ends the program.
 *
 * @param failure the exit code then, unless one was set
 */
export function guardStandardStreams({ json, failure }: { json: boolean; failure: number }): void {
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', ({ code = 'unknown' }: NodeJS.ErrnoException) => {
    if (code === 'EPIPE') process.exit();
    const error = `Standard output cannot be written (${code}).`;
    process.stderr.write(`${json ? JSON.stringify({ error }) : error}\n`);
    process.exit(process.exitCode || failure);
  });
}
