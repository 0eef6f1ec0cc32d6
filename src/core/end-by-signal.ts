/** By convention, the exit code of a program that a signal has ended. */
export const EXIT_CODES: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 130, SIGTERM: 143 };

/**
 * Ends this process by a signal, as if nobody had listened for it. The kernel gives process 1 of a container no signal that would
 * end it by default, its own neither: there it exits with the code by which a shell tells of such an end.
 */
export function endBy(signal: NodeJS.Signals): never {
  process.removeAllListeners(signal);
  if (process.pid !== 1) process.kill(process.pid, signal);
  process.exit(EXIT_CODES[signal]);
}
