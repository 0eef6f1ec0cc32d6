import type { FastifyInstance } from 'fastify';
import type { Clock } from '../core/clock';
import { REQUEST_BUDGET_MS, withDeadline } from '../core/request-deadline';

/** Gives every request its deadline. Before the handler, not earlier: reading the body leaves the request's context. */
export function limitRequestTime(server: FastifyInstance, clock: Clock): void {
  server.addHook('preHandler', (_request, _reply, done) => {
    withDeadline(clock.monotonic() + REQUEST_BUDGET_MS, done);
  });
}
