import type { Server, Socket } from 'node:net';
import { Tally } from '../core/tally';
import type { Closings } from './closings';

/** Part of all connections that is given only in exchange for others: whoever makes room is gone a moment later. */
const RESERVED = 0.01;

/**
 * Shares connections out among networks: each may hold as many as are still free for all others. One that takes all it can
 * get has half of them, without a number that would have to suit everybody's proxies. Where that leaves none, because a few
 * have come before and have halved what was left time and again, whoever holds clearly less than the one with the most gets
 * one of that one's connections, of those on which nothing is being done.
 */
export class ConnectionShares {
  private readonly held = new Tally();
  private readonly sockets = new Map<string, Set<Socket>>();
  private all = 0;

  /**
   * @param ownerOf whose connection it is, by its address
   * @param isBusy whether the connection must not be hung up on
   */
  constructor(
    private readonly server: Server,
    private readonly ownerOf: (address: string) => string,
    private readonly isBusy: (socket: Socket) => boolean,
    private readonly closings: Closings,
  ) {}

  /** Counts the connection in until it is closed, or hangs up on it. */
  admit(socket: Socket): void {
    // Asked for while there is one: afterwards Node knows it only of those of whom it was asked before.
    const { remoteAddress } = socket;
    if (remoteAddress === undefined) {
      socket.destroy();
      return;
    }
    const owner = this.ownerOf(remoteAddress);
    if (!this.hasRoomFor(owner) && !this.makeRoomFor(owner)) {
      this.closings.close(socket, 'share');
      return;
    }
    const own = this.sockets.get(owner) ?? new Set();
    this.sockets.set(owner, own.add(socket));
    this.held.change(owner, 1);
    this.all += 1;
    socket.once('close', () => this.release(owner, socket));
  }

  private hasRoomFor(owner: string): boolean {
    const { maxConnections } = this.server;
    const reserved = Math.ceil(maxConnections * RESERVED);
    return this.held.of(owner) < maxConnections - reserved - this.all;
  }

  /** Two more: with one more the two would only change places. */
  private makeRoomFor(owner: string): boolean {
    if (this.held.most <= this.held.of(owner) + 1) return false;
    const leader = this.held.leader as string;
    const spare = this.spareOf(leader);
    if (!spare) return false;
    this.release(leader, spare);
    this.closings.close(spare, 'made_room');
    return true;
  }

  /** The oldest: looked for one by one, since the first will mostly do. */
  private spareOf(owner: string): Socket | undefined {
    for (const socket of this.sockets.get(owner) ?? []) if (!this.isBusy(socket)) return socket;
    return undefined;
  }

  private release(owner: string, socket: Socket): void {
    const own = this.sockets.get(owner);
    if (!own?.delete(socket)) return;
    if (own.size === 0) this.sockets.delete(owner);
    this.held.change(owner, -1);
    this.all -= 1;
  }
}
