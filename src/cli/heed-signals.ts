import { endBy } from '../core/end-by-signal';

/**
 * Imported before everything else, which takes a while to load. Process 1 of a container, as a command is in the image, is given no
 * signal that it does not listen for, so that neither Ctrl+C nor `docker stop` would end it. Everywhere else the kernel ends a
 * command by itself, also in the middle of a statement.
 */
if (process.pid === 1) for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, end);

/** Unless the command listens itself, and ends when it has cleaned up. */
function end(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) === 1) endBy(signal);
}
