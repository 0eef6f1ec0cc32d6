import type { FastifyInstance } from 'fastify';
import { ApiError } from '../core/errors';
import { BODY_LIMIT } from '../core/json-body';

/** Fields that a form may have. No operation takes a tenth; ten thousand would keep whoever reads and checks them busy. */
export const MOST_FIELDS = 64;

/** Reads forms on the routes that ask for it (`@ReadsForms()`); on all others they stay a 415. */
export function acceptForms(server: FastifyInstance): void {
  server.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: BODY_LIMIT },
    (request, body, done) => {
      if (!request.routeOptions.config.readsForms) return done(new ApiError('unsupported_media_type'));
      const fields = [...new URLSearchParams(body as string)];
      if (fields.length > MOST_FIELDS) return done(new ApiError('json_too_complex'));
      done(null, toMembers(fields));
    },
  );
}

/** A field sent twice becomes a list, which is not what any field takes (RFC 6749 section 3.2: not more than once). */
function toMembers(fields: [name: string, value: string][]): Record<string, string | string[]> {
  const values = new Map<string, string[]>();
  for (const [name, value] of fields) values.set(name, [...(values.get(name) ?? []), value]);
  return Object.fromEntries(
    [...values].map(([name, sent]) => [name, sent.length === 1 ? (sent[0] as string) : sent]),
  );
}
