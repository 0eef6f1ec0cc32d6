import type { Server, Socket } from 'node:net';

/**
 * Shares connections out among addresses: each may hold as many as are still free for all others. One that takes all it can
 * get has half of them, ten have ten elevenths, and there is always one left, without a number that would have to suit
 * everybody's proxies.
 */
export class ConnectionShares {
  private readonly held = new Map<string, number>();
  private all = 0;

  /** @param ownerOf whose connection it is, by its address */
  constructor(
    private readonly server: Server,
    private readonly ownerOf: (address: string) => string,
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
    const held = this.held.get(owner) ?? 0;
    if (held >= this.server.maxConnections - this.all) {
      socket.destroy();
      return;
    }
    this.held.set(owner, held + 1);
    this.all += 1;
    socket.once('close', () => this.release(owner));
  }

  private release(owner: string): void {
    const held = (this.held.get(owner) ?? 1) - 1;
    if (held === 0) this.held.delete(owner);
    else this.held.set(owner, held);
    this.all -= 1;
  }
}
