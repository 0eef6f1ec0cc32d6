import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { FastifyInstance } from 'fastify';
import { Config } from '../config/config';
import { ApiError } from '../core/errors';
import { LOG, type Log } from '../core/log';
import { Metrics } from '../core/metrics';
import type { Exposition, PrometheusMetrics } from './prometheus-metrics';

const PATH = '/metrics';

/** What a request carries that has come through a proxy. */
const PROXY_HEADERS = [
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'forwarded',
  'x-real-ip',
  'via',
];

/** Scrapers come one at a time; whoever comes in crowds is none. */
export const MOST_SCRAPERS = 20;

/** Milliseconds for the headers, looked after once a second: whoever says nothing must not take one of so few connections. */
export const SCRAPE_HEADERS_MS = 5_000;
const CHECKED_EVERY_MS = 1_000;

/** Milliseconds without a byte taken or sent, for who has asked and does not read. */
export const SCRAPE_IDLE_MS = 10_000;

/**
 * Answers scrapes: on a port of its own where one is set (in production there always is one), else on that of the API,
 * for development. There it answers nobody who comes through a proxy, since that is how the public comes.
 */
@Injectable()
export class MetricsServer implements OnApplicationShutdown {
  private server: Server | undefined;
  private exporting: Promise<Exposition> | undefined;
  private readonly answered = new WeakSet<Socket>();

  constructor(
    private readonly config: Config,
    private readonly metrics: Metrics,
    @Inject(LOG) private readonly log: Log,
  ) {}

  /** Adds the path to the API's server, where the settings want it there. */
  addTo(server: FastifyInstance): void {
    if (!this.config.metrics || this.config.metricsPort !== undefined) return;
    server.get(PATH, async (request, reply) => {
      if (PROXY_HEADERS.some((name) => request.headers[name] !== undefined)) throw new ApiError('not_found');
      const { type, text } = await this.export();
      return reply.header('content-type', type).send(text);
    });
  }

  /**
   * Listens on a port of its own, where the settings want that.
   *
   * @throws what the operating system answers, such as EADDRINUSE
   */
  async listen(): Promise<void> {
    const { metrics, metricsPort: port, host } = this.config;
    if (!metrics || port === undefined) return;
    const times = {
      ...{ requestTimeout: SCRAPE_HEADERS_MS, headersTimeout: SCRAPE_HEADERS_MS },
      connectionsCheckingInterval: CHECKED_EVERY_MS,
    };
    this.server = createServer(times, (request, response) => {
      this.answer(request, response).catch((error: unknown) => {
        this.log.error({ err: error }, 'A scrape could not be answered');
        response.destroy();
      });
    });
    this.server.maxConnections = MOST_SCRAPERS;
    this.server.timeout = SCRAPE_IDLE_MS;
    this.server.listen({ host, port });
    await once(this.server, 'listening');
  }

  /** Of the port of its own, once it listens. */
  get address(): AddressInfo | undefined {
    return (this.server?.address() as AddressInfo | null) ?? undefined;
  }

  async onApplicationShutdown(): Promise<void> {
    if (!this.server?.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  /**
   * Closes the connection after its first answer, whatever its client wants (Node's own bound keeps it open for seconds, and does not
   * count HTTP/1.0). What was sent behind it is let be: Node would keep an answer to each request of a burst, hundreds of kilobytes.
   */
  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.answered.has(request.socket)) return;
    this.answered.add(request.socket);
    response.setHeader('connection', 'close');
    if (request.url !== PATH || request.method !== 'GET') {
      response.writeHead(404, { 'content-length': 0 }).end();
      return;
    }
    const { type, text } = await this.export();
    const length = Buffer.byteLength(text);
    const headers = { 'content-type': type, 'content-length': length, 'cache-control': 'no-store' };
    response.writeHead(200, headers).end(text);
  }

  /** One export answers all who ask meanwhile. */
  private export(): Promise<Exposition> {
    this.exporting ??= (this.metrics as PrometheusMetrics)
      .export()
      .finally(() => (this.exporting = undefined));
    return this.exporting;
  }
}
