import { Server, type Socket } from 'node:net';
import { setImmediate, setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import type { FastifyInstance, RouteOptions } from 'fastify';
import { Clock } from '../core/clock';

/** Rounds of the event loop, at most, until one has passed in which nobody came. */
const MOST_ROUNDS = 200;

/** Milliseconds that such a round may have taken: who comes while it lasts is not seen. */
const SHORT_ROUND_MS = 1;

/** How long connections may stay while the service stops, in milliseconds. */
export interface DrainLimits {
  /** Those on which nothing is asked. */
  idle: number;
  /** All of them, and what is done for those who have gone. */
  busy: number;
}

/**
 * Takes leave of clients so that no request is lost. A connection that is just closed may have a request on its way that
 * nobody answers, and a proxy does not dare to repeat a POST. So each is told with an answer that it is the last one
 * (RFC 9112 section 9.6), and only a client that asks for nothing for a while is hung up on.
 */
@Injectable()
export class Drain {
  private readonly connections = new Set<Socket>();
  private readonly awaited = new Set<() => void>();
  private server: FastifyInstance['server'];
  private accepted = 0;
  private asked = 0;
  private handlersAtWork = 0;
  private announced = false;
  private lastAnswers = false;

  constructor(private readonly clock: Clock) {}

  /** Whether the service is on its way out. */
  get isUnderWay(): boolean {
    return this.announced;
  }

  /** Watches the connections from now on, and the handlers of the routes that are added from now on. */
  watch(server: FastifyInstance): void {
    this.server = server.server;
    this.server.on('connection', (socket: Socket) => {
      this.accepted += 1;
      this.connections.add(socket);
      socket.once('close', () => {
        this.connections.delete(socket);
        this.recheck();
      });
    });
    server.addHook('onRoute', (route) => this.follow(route));
    // The application is closed without a word by tests, and by a start that fails.
    server.addHook('preClose', (done) => {
      this.announce();
      this.sendAway();
      done();
    });
    server.addHook('onSend', (_request, reply, payload, done) => {
      if (this.lastAnswers) void reply.header('connection', 'close');
      done(null, payload);
    });
  }

  /** Whoever asks is told from now on that the service is on its way out. Nothing else changes. */
  announce(): void {
    this.announced = true;
  }

  /**
   * Every answer is the last one on its connection from now on. Connections are still accepted, and whoever is sent away
   * may come back by another: only for as long as others are given time to send nobody here any more.
   */
  sendAway(): void {
    this.lastAnswers = true;
  }

  /**
   * Accepts no more connections, and returns when none is left and no handler is at work: a client that has hung up does not
   * end what it has asked for, and that needs the database.
   *
   * Who is in the middle of connecting when the socket closes is reset, so it is closed before anybody is sent away and looks
   * for another connection, and right after a round of the event loop in which nobody came. The same holds for a request on
   * an idle connection: it may have been there for a while when this process gets round to reading it.
   */
  async finish({ idle, busy }: DrainLimits): Promise<void> {
    this.announce();
    this.server.on('request', () => (this.asked += 1));
    await this.untilNoMore(() => this.accepted);
    // Node's own `close` would hang up at once on whoever is not asking at this very moment.
    Server.prototype.close.call(this.server);
    this.sendAway();
    const end = new AbortController();
    const left = this.until(() => this.hasNoConnections && this.handlersAtWork === 0).then(() => end.abort());
    await Promise.race([left, pause(idle, end.signal)]);
    await this.untilNoMore(() => this.asked);
    this.server.closeIdleConnections();
    await Promise.race([left, pause(busy - idle, end.signal)]);
    // Node's own list lacks those that it has handed over, such as one that asked for a tunnel and was refused.
    for (const socket of this.connections) socket.destroy();
    await this.until(() => this.hasNoConnections);
  }

  private get hasNoConnections(): boolean {
    return this.connections.size === 0;
  }

  /** Counts it while it works. One that gives its answer before it returns has nothing left to do. */
  private follow(route: RouteOptions): void {
    const { handler } = route;
    const end = () => {
      this.handlersAtWork -= 1;
      this.recheck();
    };
    const begin = (work: Promise<unknown>) => {
      this.handlersAtWork += 1;
      void work.then(end, end);
    };
    route.handler = function (request, reply) {
      const result: unknown = handler.call(this, request, reply);
      if (result instanceof Promise) begin(result);
      return result;
    };
  }

  private async untilNoMore(count: () => number): Promise<void> {
    for (let round = 0; round < MOST_ROUNDS; round += 1) {
      const before = count();
      const begun = this.clock.monotonic();
      await setImmediate();
      if (count() === before && this.clock.monotonic() - begun < SHORT_ROUND_MS) return;
    }
  }

  /** Until something holds that changes with a connection or a handler. */
  private until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        if (!holds()) return;
        this.awaited.delete(check);
        resolve();
      };
      this.awaited.add(check);
      check();
    });
  }

  private recheck(): void {
    for (const check of this.awaited) check();
  }
}

/** Some time, or less if it is called off. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return delay(milliseconds, undefined, { signal }).catch(() => undefined);
}
