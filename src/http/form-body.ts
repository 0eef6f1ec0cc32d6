import type { FastifyInstance } from 'fastify';
import { ApiError } from '../core/errors';
import { BODY_LIMIT } from '../core/json-body';

/** Reads forms on the routes that ask for it (`@ReadsForms()`); on all others they stay a 415. */
export function acceptForms(server: FastifyInstance): void {
  server.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: BODY_LIMIT },
    (request, body, done) => {
      if (!request.routeOptions.config.readsForms) return done(new ApiError('unsupported_media_type'));
      done(null, toFields(body as string));
    },
  );
}

/** A field sent twice becomes a list, which is not what any field takes (RFC 6749 section 3.2: not more than once). */
function toFields(form: string): Record<string, string | string[]> {
  const fields = new URLSearchParams(form);
  return Object.fromEntries(
    [...new Set(fields.keys())].map((name) => {
      const values = fields.getAll(name);
      return [name, values.length === 1 ? (values[0] as string) : values];
    }),
  );
}
