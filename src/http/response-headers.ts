import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import helmet from 'helmet';
import type { FastifyInstance } from 'fastify';
import type { Log } from '../core/log';

/** Nothing in a JSON answer is to be loaded, run or framed. */
const CONTENT_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** What every answer carries, beside the id of its request. */
export const EVERY_ANSWER: Readonly<Record<string, string>> = {
  ...protections(),
  'cache-control': 'no-store',
  'content-security-policy': CONTENT_POLICY,
};

/** What it carries too where the request came over TLS: browsers ignore it elsewhere, and complain. */
const OVER_TLS: Readonly<Record<string, string>> = {
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'cross-origin-opener-policy': 'same-origin',
};

/** Sets what every answer carries, and writes down each request at level `debug`. */
export function describeEveryResponse(server: FastifyInstance, log: Log): void {
  server.addHook('onRequest', (request, reply, done) => {
    void reply.headers(EVERY_ANSWER).header('x-request-id', request.id);
    if (request.protocol === 'https') void reply.headers(OVER_TLS);
    done();
  });
  server.addHook('onSend', (_request, reply, payload, done) => {
    // RFC 9110 section 8.6: 204 has no length. What answers preflights says that it is 0.
    if (reply.statusCode === 204) void reply.removeHeader('content-length');
    const type = reply.getHeader('content-type');
    if (typeof type === 'string' && /^text\/[a-z]+$/.test(type)) void reply.type(`${type}; charset=utf-8`);
    done(null, payload);
  });
  server.addHook('onResponse', (request, reply, done) => {
    if (log.isLevelEnabled('debug')) {
      log.debug(
        {
          requestId: request.id,
          method: request.method,
          route: request.routeOptions.url,
          status: reply.statusCode,
          milliseconds: Math.round(reply.elapsedTime),
        },
        'request',
      );
    }
    done();
  });
}

/** What helmet makes of an answer. It is the same for every one, so it is asked once. */
function protections(): Record<string, string> {
  const answer = new ServerResponse(new IncomingMessage(new Socket()));
  const protect = helmet({
    // Set above as it is: the documentation page has another one.
    contentSecurityPolicy: false,
    crossOriginEmbedderPolicy: false,
    referrerPolicy: { policy: 'no-referrer' },
    xFrameOptions: { action: 'deny' },
    // Set above where the request came over TLS.
    strictTransportSecurity: false,
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
  });
  protect(answer.req, answer, (error) => {
    if (error) throw error as Error;
  });
  return Object.fromEntries(
    Object.entries(answer.getHeaders()).map(([name, value]) => [name, String(value)]),
  );
}
