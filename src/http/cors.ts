import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyRequest } from 'fastify';
import type { Config } from '../config/config';

/** Pages on the developer's own machine, whatever their port. */
const LOCAL_ORIGIN = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

/** What pages may read of an answer beside its body. */
const EXPOSED_HEADERS = [
  'X-Error-Code',
  'X-Request-Id',
  'Retry-After',
  'WWW-Authenticate',
  'Deprecation',
  'Sunset',
];

/** Lets pages of the configured origins call the API; outside production, where none are configured, local ones. */
export function shareWithOrigins(app: NestFastifyApplication, config: Config): void {
  const origin = config.corsOrigins ? [...config.corsOrigins] : config.production ? undefined : LOCAL_ORIGIN;
  if (origin === undefined) return;
  const options = {
    origin,
    methods: ['GET', 'POST', 'PATCH', 'DELETE'],
    allowedHeaders: ['Authorization', 'Content-Type', 'Idempotency-Key', 'X-API-Key'],
    exposedHeaders: EXPOSED_HEADERS,
    maxAge: 600,
  };
  app.enableCors({
    delegator: (request: FastifyRequest, use: (error: null, chosen: object) => void) =>
      use(null, { ...options, preflight: isPreflight(request) }),
  });
}

/** Any other OPTIONS is a method like the rest; the library would answer it with an error in a shape of its own. */
function isPreflight({ method, headers }: FastifyRequest): boolean {
  return (
    method === 'OPTIONS' &&
    headers.origin !== undefined &&
    headers['access-control-request-method'] !== undefined
  );
}
