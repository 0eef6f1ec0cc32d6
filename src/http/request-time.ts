import type { FastifyInstance } from 'fastify';
import { REQUEST_BUDGET_MS, withBudget } from '../core/request-budget';

/** Gives every request its time. Before the handler, not earlier: reading the body leaves the request's context. */
export function limitRequestTime(server: FastifyInstance): void {
  server.addHook('preHandler', (_request, _reply, done) => withBudget(REQUEST_BUDGET_MS, done));
}
