import type { FastifyRequest } from 'fastify';

/**
 * How often a header was sent. What Node hands on has forgotten it: of some headers it keeps the first, others it joins.
 *
 * @param name in lower case
 */
export function timesSent({ raw: { rawHeaders } }: FastifyRequest, name: string): number {
  let count = 0;
  // Names and values in turns.
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const sent = rawHeaders[index] as string;
    if (sent.length === name.length && sent.toLowerCase() === name) count += 1;
  }
  return count;
}
