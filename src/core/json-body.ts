import type { FastifyInstance } from 'fastify';
import { ApiError } from './errors';

/** Largest body accepted, in bytes. */
export const BODY_LIMIT = 64 * 1024;

/**
 * Makes JSON the only body this server reads, unless more is added; anything else is a 415.
 *
 * An empty body counts as none, whatever media type is declared: clients send `Content-Type: application/json` with
 * every POST, also with those that need no body. Bytes that are not UTF-8 are refused, because a decoder that
 * replaces them would make different passwords equal.
 */
export function acceptJsonBodies(server: FastifyInstance): void {
  const parse = server.getDefaultJsonParser('error', 'error');
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  server.removeAllContentTypeParsers();
  server.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    (request, body, done) => {
      if (body.length === 0) return done(null, undefined);
      let text: string;
      try {
        text = utf8.decode(body as Buffer);
      } catch (cause) {
        return done(new ApiError('malformed_json', { cause }));
      }
      void parse(request, text, (error, value) =>
        error ? done(new ApiError('malformed_json', { cause: error })) : done(null, value),
      );
    },
  );
}
