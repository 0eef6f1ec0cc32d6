import type { FastifyRequest } from 'fastify';
import type { Origin } from '../core/origin';
import { clientAddress } from './client-address';

/** Longest `User-Agent` that is kept. */
const USER_AGENT_LENGTH = 256;

/** Whence the request came. */
export function originOf(request: FastifyRequest): Origin {
  return {
    ip: clientAddress(request),
    userAgent: request.headers['user-agent']?.slice(0, USER_AGENT_LENGTH) ?? null,
    requestId: request.id,
  };
}
