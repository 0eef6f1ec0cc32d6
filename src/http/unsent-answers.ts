import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Closings } from './closings';

/** Bytes of answers that may lie in memory, over all connections, because their clients do not take them. */
export const MOST_UNSENT_BYTES = 64 * 1024 * 1024;

/** Bytes by which a file that is being sent has been read ahead of what its answer holds: the default of Node's streams of files. */
const READ_AHEAD_BYTES = 64 * 1024;

/** Milliseconds between two looks at how many they are. */
const INTERVAL_MS = 500;

/**
 * The answers that clients have yet to take. Node makes each as fast as it can and keeps what is not taken, so that somebody who
 * asks for much and reads nothing would have as much memory as he has connections. Beyond a bound, those are hung up on for whom
 * the most is kept.
 */
export class UnsentAnswers {
  private readonly waiting = new Map<Socket, Set<ServerResponse>>();

  /** @param mostBytes see `MOST_UNSENT_BYTES` */
  constructor(
    private readonly closings: Closings,
    private readonly mostBytes = MOST_UNSENT_BYTES,
  ) {}

  /** Looks after the answers of a server as long as it listens. */
  watch(server: Server): void {
    // Before anything is done with a request, also where no hook is reached.
    server.prependListener('request', ({ socket }: IncomingMessage, response) => this.note(socket, response));
    const looking = setInterval(() => this.relieve(), INTERVAL_MS).unref();
    server.once('close', () => clearInterval(looking));
  }

  /** How many requests of a connection are under way or wait to be taken. */
  of(socket: Socket): number {
    return this.waiting.get(socket)?.size ?? 0;
  }

  /**
   * Whether something is being done for it. What has not come in whole has not been begun, and what has been answered only waits to
   * be taken: slow clients stay in both.
   */
  isAtWorkFor(socket: Socket): boolean {
    return [...(this.waiting.get(socket) ?? [])].some(
      ({ req, writableEnded }) => req.complete && !writableEnded,
    );
  }

  /** Hangs up on those for whom the most is kept, until it is little enough. */
  relieve(): void {
    const kept = [...this.waiting].map(([socket, answers]) => ({ socket, bytes: bytesOf(answers) }));
    let total = kept.reduce((sum, { bytes }) => sum + bytes, 0);
    if (total <= this.mostBytes) return;
    for (const { socket, bytes } of kept.sort((a, b) => b.bytes - a.bytes)) {
      if (total <= this.mostBytes) return;
      this.closings.close(socket, 'unread');
      total -= bytes;
    }
  }

  private note(socket: Socket, response: ServerResponse): void {
    const answers = this.waiting.get(socket) ?? this.begin(socket);
    answers.add(response);
    response.once('close', () => answers.delete(response));
  }

  /** Until the connection is closed. */
  private begin(socket: Socket): Set<ServerResponse> {
    const answers = new Set<ServerResponse>();
    this.waiting.set(socket, answers);
    socket.once('close', () => {
      this.waiting.delete(socket);
      closeUnannounced(answers);
    });
    return answers;
  }
}

/**
 * Of answers that wait behind others when their connection is closed, Node says nothing. Whatever they are made of would stay: the file that
 * is read into one, open for ever.
 */
function closeUnannounced(answers: Set<ServerResponse>): void {
  for (const answer of [...answers].filter(({ socket }) => socket === null)) {
    answer.destroy();
    // By that whoever begins to send a file only now learns that it is too late.
    Object.assign(answer, { _closed: true });
    answer.emit('close');
  }
}

/**
 * That of the answer whose turn it is holds what the connection has not passed on; the others hold their own. What is not whole yet may
 * come from a file.
 */
function bytesOf(answers: Set<ServerResponse>): number {
  let bytes = 0;
  for (const { writableLength, writableEnded } of answers) {
    const comesFromAFile = writableLength > 0 && !writableEnded;
    bytes += comesFromAFile ? writableLength + READ_AHEAD_BYTES : writableLength;
  }
  return bytes;
}
