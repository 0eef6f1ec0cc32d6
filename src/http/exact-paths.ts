import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify';
import { ApiError } from '../core/errors';
import { answerUnroutable } from './broken-requests';

/** The route of the CORS plug-in, which answers preflights. It is there before the framework's way to answer errors. */
const EVERY_PATH = '*';

/** The server wants a media type with it, whatever the route wants. */
const NEEDS_MEDIA_TYPE = 'QUERY';

/** What stands before the path in a request to a proxy (RFC 9112 section 3.2.2), which servers must take too. */
const ABSOLUTE_FORM = /^https?:\/\/[^/?#]*/;

/**
 * Answers what no route answers: 405 with `Allow` (RFC 9110 section 15.5.6) where the path has other methods, else 404; before
 * anything of the body is read. Watches routes as they are added from now on.
 *
 * A path has one spelling. The router would decode `/%61pi` and cut off `#x`; a proxy in front that compares text would
 * not, and what it means to keep closed would be open. Parameters may be spelled in any way: what they name is looked up.
 *
 * @returns to be called once all routes are there: gives those that answer every request the usual methods
 */
export function answerByTheLetter(server: FastifyInstance): () => void {
  const methodsByPath = new Map<string, Set<string>>();
  const judges = new Map<string, Pick<RouteOptions, 'handler' | 'config'>>();
  server.addHook('onRoute', (route) => {
    const { url, method, handler, config } = route;
    if (url === EVERY_PATH) {
      route.errorHandler = answerUnroutable;
      return;
    }
    const methods = methodsByPath.get(url) ?? new Set();
    for (const one of [method].flat()) methods.add(one);
    methodsByPath.set(url, methods);
    if (config?.answersEveryRequest && !judges.has(url)) judges.set(url, { handler, config });
  });
  const refusalOf = (request: FastifyRequest): ApiError => {
    const path = pathOf(request);
    const methods = [...methodsByPath].flatMap(([url, those]) => (isSpelled(url, path) ? [...those] : []));
    const allow = methods.join(', ');
    return allow ? new ApiError('method_not_allowed', { headers: { allow } }) : new ApiError('not_found');
  };
  // Before the CORS plug-in, which would answer every `OPTIONS`, and everything else after it, so that pages can read it.
  server.addHook('onRequest', (request, _reply, done) => {
    const allowed = request.method !== 'OPTIONS' || isPreflight(request) || isJudged(request);
    done(allowed ? undefined : refusalOf(request));
  });
  server.addHook('preParsing', (request, _reply, payload, done) => {
    if (isAnswered(request)) done(null, payload);
    else done(refusalOf(request));
  });
  return () => {
    for (const [url, judge] of judges) {
      const others = server.supportedMethods.filter(
        (method) => method !== NEEDS_MEDIA_TYPE && !methodsByPath.get(url)?.has(method),
      );
      server.route({ ...judge, url, method: others });
    }
  };
}

/** Whether the route answers whatever method comes. */
function isJudged({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.config.answersEveryRequest === true;
}

function isAnswered(request: FastifyRequest): boolean {
  if (request.is404) return false;
  return !/[%#]/.test(request.url) || isSpelled(request.routeOptions.url ?? '', pathOf(request));
}

/** Whether a browser asks for permission (Fetch standard, section 4.8); any other `OPTIONS` is a method like the rest. */
function isPreflight({ headers }: FastifyRequest): boolean {
  return headers.origin !== undefined && headers['access-control-request-method'] !== undefined;
}

function pathOf({ url }: FastifyRequest): string {
  return url.replace(ABSOLUTE_FORM, '').split('?', 1)[0] as string;
}

/** Whether the path is that of the route, by the letter but for its parameters. */
function isSpelled(route: string, path: string): boolean {
  if (path.includes('#')) return false;
  const wanted = route.split('/');
  // More parts than any route has are not that route's, however many more: no work for a path of thousands.
  const given = path.split('/', wanted.length + 1);
  if (wanted.length !== given.length && !route.endsWith('*')) return false;
  return wanted.every((part, index) => {
    if (part.startsWith(':')) return given[index] !== '';
    return part === '*' || part === given[index];
  });
}
