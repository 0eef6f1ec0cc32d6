import type { Duplex } from 'node:stream';

/** Milliseconds that a client has to take the last words and its leave; then the connection is gone whatever it does. */
export const LONGEST_LEAVE_MS = 1_000;

/**
 * Ends a connection with a last word. Our end alone does not close it: a client may keep its own open for as long as it likes.
 * And it may be one that Node has handed over, for CONNECT, without anybody who listens for its errors or closes it at the end: a
 * client that resets it would end the process.
 */
export function hangUp(socket: Duplex, lastWords: string): void {
  socket.on('error', () => socket.destroy());
  const leave = setTimeout(() => socket.destroy(), LONGEST_LEAVE_MS);
  socket.once('close', () => clearTimeout(leave));
  // Only of whom is listened to is it learned that he has gone.
  socket.resume();
  socket.end(lastWords);
}
