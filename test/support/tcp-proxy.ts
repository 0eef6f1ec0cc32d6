import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What becomes of what passes from now on; what is under way already comes when its time has come. */
export type Passage = { delayMs: number } | 'nothing passes';

/**
 * Where a connection is cut: at a client's words, before the server has heard them or after, but before it is heard. Where the
 * host of the client is lost, the server is told nothing: for it the connection stands, and nothing comes any more.
 */
export interface Cut {
  at: string;
  heard: boolean | 'host lost';
}

/** Who of the two speaks. */
export type Speaker = 'client' | 'server';

/** A way to a TCP server that can be made slow or silent (not even a hang-up of the server's passes then), or be cut. What it does is done to every connection. */
export class TcpProxy {
  private passage: Passage = { delayMs: 0 };
  private cut: Cut | undefined;
  private cutSoFar = 0;
  private overheard: ((chunk: Buffer, speaker: Speaker) => void) | undefined;
  private readonly sockets = new Set<Socket>();
  private mutedAt: string | undefined;
  private readonly muted = new Set<Socket>();
  /** Clients that have yet to hear that the server has hung up on them. */
  private readonly unaware = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private target: number,
  ) {}

  /** @param target a port of 127.0.0.1 */
  static async to(target: number): Promise<TcpProxy> {
    const server = createServer();
    const proxy = new TcpProxy(server, target);
    server.on('connection', (client) => proxy.join(client));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }

  /** Leads connections that are made from now on to another port. */
  leadTo(target: number): void {
    this.target = target;
  }

  let(passage: Passage): void {
    this.passage = passage;
    if (passage === 'nothing passes') return;
    for (const client of this.unaware) client.end();
    this.unaware.clear();
  }

  /** The address of the server in `url`, by this way. */
  leadingTo(url: string): string {
    const through = new URL(url);
    through.port = String(this.port);
    return through.href;
  }

  /** How many connections have been reset. */
  get cuts(): number {
    return this.cutSoFar;
  }

  /** Resets connections from now on, or none any more. */
  cutAt(cut: Cut | undefined): void {
    this.cut = cut;
  }

  /** From now on has a connection fall silent, in both directions, at these words of its client, or none any more. */
  muteAt(words: string | undefined): void {
    this.mutedAt = words;
  }

  /** How many connections have fallen silent and are not ended. */
  get silent(): number {
    return this.muted.size;
  }

  /** Ends the connections that have fallen silent, as the kernel does for a server that is killed, and says how many had. */
  endMuted(): number {
    const count = this.muted.size;
    for (const client of this.muted) client.destroy();
    this.muted.clear();
    return count;
  }

  /** Has everything that passes from now on, in either direction, be heard by somebody in between. */
  overhear(by: (chunk: Buffer, speaker: Speaker) => void): void {
    this.overheard = by;
  }

  async close(): Promise<void> {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await once(this.server, 'close');
  }

  private join(client: Socket): void {
    const server = connect(this.target, '127.0.0.1');
    let hostLost = false;
    this.relay(client, 'client', (chunk) => {
      if (this.mutedAt !== undefined && chunk.includes(this.mutedAt)) this.muted.add(client);
      if (this.muted.has(client)) return;
      const cut = this.cut && chunk.includes(this.cut.at) ? this.cut : undefined;
      if (!cut) return void server.write(chunk);
      this.cutSoFar += 1;
      if (cut.heard === 'host lost') hostLost = true;
      else if (cut.heard) server.end(chunk);
      else server.destroy();
      // Nothing that the server answers comes through any more.
      client.resetAndDestroy();
    });
    this.relay(server, 'server', (chunk) => void (this.muted.has(client) || client.write(chunk)));
    client.on('close', () => hostLost || server.end());
    server.on('close', () => {
      if (this.muted.has(client)) return;
      if (this.passage === 'nothing passes') this.unaware.add(client);
      else client.end();
    });
  }

  /** Hands on what comes from a socket, in its order, each when its time has come. */
  private relay(from: Socket, speaker: Speaker, pass: (chunk: Buffer) => void): void {
    this.sockets.add(from);
    from.setNoDelay();
    let passed = Promise.resolve();
    from.on('data', (chunk: Buffer) => {
      this.overheard?.(chunk, speaker);
      if (this.passage === 'nothing passes') return;
      const { delayMs } = this.passage;
      const due = delayMs > 0 ? delay(delayMs, undefined, { ref: false }) : undefined;
      passed = passed.then(() => due).then(() => pass(chunk));
    });
    from.on('error', () => undefined);
    from.on('close', () => this.sockets.delete(from));
  }
}
