import type { FastifyInstance, HTTPMethods, RouteOptions } from 'fastify';
import { ApiError } from '../core/errors';

/** What a path has been given so far. */
interface Path {
  methods: Set<string>;
  /** A route whose answer does not depend on the method. */
  judge?: Pick<RouteOptions, 'handler' | 'config'>;
}

/** The server wants a media type with it, whatever the route wants. */
const NEEDS_MEDIA_TYPE = 'QUERY';

/**
 * Answers 405 with `Allow` (RFC 9110 section 15.5.6) where the method is not one of its own, unless the path answers every
 * method alike. Watches routes as they are added from now on; the function returned is called once all are there.
 */
export function answerOtherMethods(server: FastifyInstance): () => void {
  const paths = new Map<string, Path>();
  server.addHook('onRoute', ({ url, method, handler, config }) => {
    const path = paths.get(url) ?? { methods: new Set() };
    for (const one of [method].flat()) path.methods.add(one);
    if (config?.answersEveryRequest) path.judge ??= { handler, config };
    paths.set(url, path);
  });
  return () => {
    for (const [url, { methods, judge }] of [...paths]) {
      const others = server.supportedMethods.filter((method) => !methods.has(method)) as HTTPMethods[];
      const judged = judge ? others.filter((method) => method !== NEEDS_MEDIA_TYPE) : [];
      if (judge) server.route({ ...judge, url, method: judged });
      const allow = [...methods, ...judged].join(', ');
      server.route({
        url,
        method: others.filter((method) => !judged.includes(method)),
        handler: () => {
          throw new ApiError('method_not_allowed', { headers: { allow } });
        },
      });
    }
  };
}
