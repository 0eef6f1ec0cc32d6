import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { FastifyInstance, FastifyServerOptions } from 'fastify';
import { ApiError } from '../core/errors';
import type { Ids } from '../core/ids';
import type { Metrics } from '../core/metrics';
import { answerUnparsable } from './broken-requests';
import { Closings } from './closings';
import { ConnectionShares } from './connection-shares';
import { timesSent } from './raw-headers';
import { UnsentAnswers } from './unsent-answers';

/** Open connections at most, of some ten kilobytes each. Further ones are closed at once; see also `ConnectionShares`. */
const MOST_CONNECTIONS = 10_000;

/**
 * Connections that may wait until the process has time to take them; the kernel's own bound (`net.core.somaxconn`) applies
 * too. Node's default, 511, has those of a storm of logins try again after seconds, and hangs up on some.
 */
export const WAITING_CONNECTIONS = 4_096;

/**
 * Requests of one connection that may be under way at once (RFC 9112 section 9.3.2). Node makes an answer to every one that
 * it has received, and keeps it until it is taken: of a document of a quarter megabyte, gigabytes for whoever never reads.
 */
export const MOST_PIPELINED = 8;

/** How many a connection may have received and not answered, refused ones too, before it is hung up on without a word. */
export const MOST_RECEIVED = 64;

/**
 * How long a client may take, in milliseconds: for its headers, for the whole request, between two requests (longer than
 * the minute for which common proxies keep a connection, so that they never send into one that is being closed), and
 * without taking what was answered (twice as long, where some was taken). Checked every second, where Node would look every thirty.
 */
export const CONNECTION_LIMITS = {
  requestTimeout: 15_000,
  keepAliveTimeout: 72_000,
  connectionTimeout: 30_000,
  http: {
    headersTimeout: 10_000,
    connectionsCheckingInterval: 1000,
    // Node would answer without a body; see below.
    requireHostHeader: false,
  },
} as const satisfies FastifyServerOptions & { http: object };

/**
 * Sees to what Node's HTTP server would answer by itself, or take though it may be read in two ways.
 *
 * @param ownerOf whose a connection is, by its address
 */
export function guardConnections(
  server: FastifyInstance,
  ids: Ids,
  ownerOf: (address: string) => string,
  metrics: Metrics,
): void {
  server.server.maxConnections = MOST_CONNECTIONS;
  // Node would leave out what stands behind the thousandth, such as what a proxy adds: the client chose what is seen. Their
  // bytes are bounded as it is.
  server.server.maxHeadersCount = 0;
  const closings = new Closings(metrics);
  const unsent = new UnsentAnswers(closings);
  const isBusy = (socket: Socket) => unsent.isAtWorkFor(socket);
  const shares = new ConnectionShares(server.server, ownerOf, isBusy, closings);
  server.server.on('drop', () => closings.note('full'));
  server.server.on('connection', (socket: Socket) => shares.admit(socket));
  // An expectation that nobody knows may be ignored (RFC 9110 section 10.1.1).
  server.server.on('checkExpectation', (request, response) =>
    server.server.emit('request', request, response),
  );
  const refuse = answerUnparsable(ids);
  server.server.on('connect', (_request, socket: Duplex) => refuse(new Error('CONNECT'), socket));
  server.server.prependListener('request', ({ socket }) => {
    if (unsent.of(socket) > MOST_RECEIVED) closings.close(socket, 'flood');
  });
  unsent.watch(server.server);
  server.addHook('onRequest', (request, _reply, done) => {
    const { httpVersion, headers, socket } = request.raw;
    const hosts = timesSent(request, 'host');
    // RFC 9112 section 3.2: one host. Section 6.1: what is chunked is not HTTP/1.0, and its end is anybody's guess.
    const wellFramed =
      httpVersion === '1.0' ? hosts <= 1 && headers['transfer-encoding'] === undefined : hosts === 1;
    const sound = wellFramed && unsent.of(socket) <= MOST_PIPELINED;
    done(sound ? undefined : new ApiError('bad_request', { headers: { connection: 'close' } }));
  });
}
