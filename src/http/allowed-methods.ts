import type { FastifyInstance, HTTPMethods } from 'fastify';
import { ApiError } from '../core/errors';

/**
 * Has a known path answer 405 with `Allow` (RFC 9110 section 15.5.6) where the method is not one of its own. Watches routes
 * as they are added from now on; the function returned is called once all are there.
 */
export function answerOtherMethods(server: FastifyInstance): () => void {
  const methodsByPath = new Map<string, Set<string>>();
  server.addHook('onRoute', ({ url, method }) => {
    const methods = methodsByPath.get(url) ?? new Set();
    for (const one of [method].flat()) methods.add(one);
    methodsByPath.set(url, methods);
  });
  return () => {
    for (const [url, methods] of [...methodsByPath]) {
      const allow = [...methods].join(', ');
      const others = server.supportedMethods.filter((method) => !methods.has(method)) as HTTPMethods[];
      server.route({
        url,
        method: others,
        handler: () => {
          throw new ApiError('method_not_allowed', { headers: { allow } });
        },
      });
    }
  };
}
