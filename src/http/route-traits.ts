import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyRequest } from 'fastify';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Reads forms too, where all others read JSON only. */
    readsForms?: boolean;
    /** Answers about a request whose method and body are not for this server. */
    answersEveryRequest?: boolean;
  }
}

/** The route reads bodies in `application/x-www-form-urlencoded` beside JSON. */
export const ReadsForms = () => RouteConfig({ readsForms: true });

/**
 * For a proxy that asks about somebody else's request and may hand on its method, its media type and its body: none of them
 * is looked at. Nor are rules about origins: a preflight must not pass for a request that was let in.
 */
export const AnswersEveryRequest = () => RouteConfig({ answersEveryRequest: true, cors: false });

/** Keeps the server from reading bodies on routes that are not interested in them. For routes added from now on. */
export function leaveBodiesUnread(server: FastifyInstance): void {
  server.addHook('onRoute', (route) => {
    if (route.config?.answersEveryRequest) route.onRequest = leaveBodyUnread;
  });
}

/** What is not announced is not read, and so has no media type, length or form that could be wrong. */
function leaveBodyUnread(request: FastifyRequest, _reply: unknown, done: () => void): void {
  const { headers } = request.raw;
  for (const name of ['content-type', 'content-length', 'transfer-encoding']) {
    if (headers[name] !== undefined) delete headers[name];
  }
  done();
}
