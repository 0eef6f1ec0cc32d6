import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from './errors';
import { countMembers, outlineJson } from './json-bounds';

/** Largest body accepted, in bytes. */
export const BODY_LIMIT = 64 * 1024;

/**
 * Makes JSON the only body this server reads, unless more is added; anything else is a 415.
 *
 * An empty body counts as none, whatever media type is declared: clients send `Content-Type: application/json` with
 * every POST, also with those that need no body, and `curl -d ''` declares a form. A logout must not fail for that. Bytes
 * that are not UTF-8 are refused, because a decoder that replaces them would make different passwords equal. So is whatever
 * two parsers may read differently: a byte order mark (RFC 8259 section 8.1), a member named twice (section 4), and names
 * that mean something to JavaScript.
 */
export function acceptJsonBodies(server: FastifyInstance): void {
  const parse = server.getDefaultJsonParser('error', 'error');
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  server.removeAllContentTypeParsers();
  server.addHook('onRequest', forgetTypeOfNothing);
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
      const outline = outlineJson(text);
      if (!outline.bounded) return done(new ApiError('json_too_complex'));
      if (text.startsWith('\uFEFF')) return done(new ApiError('malformed_json'));
      void parse(request, text, (error, value) => {
        if (error) return done(new ApiError('malformed_json', { cause: error }));
        // Of members with one name a parser keeps one.
        if (countMembers(value) !== outline.members) return done(new ApiError('malformed_json'));
        done(null, value);
      });
    },
  );
}

/** RFC 9112 section 6.3: without either header no body follows. The server would look for a parser of the type all the same. */
function forgetTypeOfNothing({ raw: { headers } }: FastifyRequest, _reply: unknown, done: () => void): void {
  const { 'transfer-encoding': encoding, 'content-length': length = '0' } = headers;
  if (encoding === undefined && length === '0' && headers['content-type'] !== undefined)
    delete headers['content-type'];
  done();
}
