import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config/config';

/** Pages on the developer's own machine, whatever their port. */
const LOCAL_ORIGIN = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

/** What pages may send. The last two carry a trace on (W3C Trace Context): a page that is traced sends them with every call. */
const ALLOWED_HEADERS = [
  'Authorization',
  'Content-Type',
  'Idempotency-Key',
  'X-API-Key',
  'traceparent',
  'tracestate',
];

/** What pages may read of an answer beside its body. */
const EXPOSED_HEADERS = [
  'X-Error-Code',
  'X-Request-Id',
  'Retry-After',
  'WWW-Authenticate',
  'RateLimit',
  'RateLimit-Policy',
  'Deprecation',
  'Sunset',
];

/**
 * Lets pages of the configured origins call the API; outside production, where none are configured, local ones. Not by the
 * framework's own way, which would answer before every other hook.
 */
export async function shareWithOrigins(server: FastifyInstance, config: Config): Promise<void> {
  const origin = config.corsOrigins ? [...config.corsOrigins] : config.production ? undefined : LOCAL_ORIGIN;
  if (origin === undefined) return;
  await server.register(cors, {
    origin,
    methods: ['GET', 'POST', 'PATCH', 'DELETE'],
    allowedHeaders: ALLOWED_HEADERS,
    exposedHeaders: EXPOSED_HEADERS,
    maxAge: 600,
  });
}
