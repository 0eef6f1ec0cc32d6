import type { Socket } from 'node:net';
import type { Metrics } from '../core/metrics';

/**
 * Why a connection is closed without a word: there are too many, too many of its network, another network has hardly any; it has too
 * many requests unanswered, or too much that it does not take.
 */
export const CLOSE_REASONS = ['full', 'share', 'made_room', 'flood', 'unread'] as const;
export type CloseReason = (typeof CLOSE_REASONS)[number];

/** Counts connections that are closed for their number or greed. No request tells of them, and a line for each would fill the disk. */
export class Closings {
  constructor(private readonly metrics: Metrics) {
    for (const reason of CLOSE_REASONS) metrics.count('latchkey_connections_closed_total', { reason }, 0);
  }

  /** Counts one that Node has closed itself. */
  note(reason: CloseReason): void {
    this.metrics.count('latchkey_connections_closed_total', { reason });
  }

  /** Closes and counts it; once, also where the rest of what it had sent asks for it again. */
  close(socket: Socket, reason: CloseReason): void {
    if (socket.destroyed) return;
    this.note(reason);
    socket.destroy();
  }
}
