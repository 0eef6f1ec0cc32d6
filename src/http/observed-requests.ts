import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { REFUSALS } from '../core/errors';
import type { Metrics } from '../core/metrics';
import { type Span, type SpanAttributes, type Tracing, withinSpan } from '../core/tracing';

declare module 'fastify' {
  interface FastifyRequest {
    /** Where requests are traced: the one that this request is. */
    span?: Span | undefined;
  }
}

/** In the place of a path that no route has: what callers make up must not become labels. */
const NO_ROUTE = 'unmatched';

/** The methods of RFC 9110 and PATCH; whatever else comes is one value (OpenTelemetry, conventions for HTTP). */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']);

const methodOf = ({ method }: FastifyRequest): string => (METHODS.has(method) ? method : '_OTHER');

/** The route's template. Never the path, which has ids in it, and whatever a caller mistakes for one. */
const routeOf = (request: FastifyRequest): string =>
  request.is404 ? NO_ROUTE : (request.routeOptions.url ?? NO_ROUTE);

/** What a trusted hop sends as X-Forwarded-Proto is free text: anything but `https` is http, so that no caller makes up labels. */
const schemeOf = ({ protocol }: FastifyRequest): string => (protocol === 'https' ? 'https' : 'http');

/**
 * What stands for a status where the connection was closed before the answer was out: nobody was told any. nginx writes the same
 * into its logs.
 */
const HUNG_UP = 499;

/**
 * Has `leave` called for who hangs up before his answer is out, of whom `onResponse` is never told. Not `onRequestAbort`: Fastify
 * hears of it from the request, which for Node is over once its body was read.
 */
function watchHangUps(
  server: FastifyInstance,
  leave: (request: FastifyRequest, reply: FastifyReply) => void,
): void {
  const answered = new WeakSet<object>();
  server.addHook('onRequest', (request, reply, done) => {
    reply.raw.once('close', () => {
      if (!answered.has(reply.raw)) leave(request, reply);
    });
    done();
  });
  server.addHook('onResponse', (_request, reply, done) => {
    answered.add(reply.raw);
    done();
  });
}

/** Measures every request that reaches the router, and counts those that are refused, whoever refuses them. */
export function measureRequests(server: FastifyInstance, metrics: Metrics): void {
  for (const code of REFUSALS) metrics.count('latchkey_refusals_total', { code }, 0);
  const measure = (request: FastifyRequest, { elapsedTime }: FastifyReply, status: number) => {
    const labels = {
      http_request_method: methodOf(request),
      http_route: routeOf(request),
      http_response_status_code: String(status),
      url_scheme: schemeOf(request),
    };
    metrics.observe('http_server_request_duration_seconds', labels, elapsedTime / 1000);
  };
  watchHangUps(server, (request, reply) => measure(request, reply, HUNG_UP));
  server.addHook('onResponse', (request, reply, done) => {
    measure(request, reply, reply.statusCode);
    if (reply.statusCode >= 400 && reply.statusCode < 500) countRefusal(reply, metrics);
    done();
  });
}

/** Counted, not logged: with a line for each, whoever forges tokens could fill the disk. */
function countRefusal(reply: FastifyReply, metrics: Metrics): void {
  const code = REFUSALS.find((known) => known === reply.getHeader('x-error-code'));
  if (code) metrics.count('latchkey_refusals_total', { code });
}

/**
 * Makes every request a span. The span is entered before the handler, since reading the body leaves the request's context,
 * and again for whatever is done once the answer is out.
 */
export function traceRequests(server: FastifyInstance, tracing: Tracing): void {
  if (!tracing.enabled) return;
  server.decorateRequest('span', undefined);
  server.addHook('onRequest', (request, _reply, done) => {
    const name = `${methodOf(request)} ${routeOf(request)}`;
    request.span = tracing.begin(name, request.headers, {
      'http.request.method': methodOf(request),
      'http.route': routeOf(request),
      'url.scheme': schemeOf(request),
      'latchkey.request_id': request.id,
    });
    done();
  });
  watchHangUps(server, (request) => endSpan(request, HUNG_UP));
  server.addHook('preHandler', (request, _reply, done) => within(request, done));
  server.addHook('onResponse', (request, reply, done) => {
    endSpan(request, reply.statusCode);
    within(request, done);
  });
}

function within({ span }: FastifyRequest, work: () => void): void {
  if (span) withinSpan(span, work);
  else work();
}

function endSpan({ span }: FastifyRequest, statusCode: number): void {
  const attributes: SpanAttributes = { 'http.response.status_code': statusCode };
  span?.end(attributes, statusCode >= 500 ? String(statusCode) : undefined);
}
