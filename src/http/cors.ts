import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Config } from '../config/config';

/** Pages on the developer's own machine, whatever their port. */
const LOCAL_ORIGIN = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

/** What pages may read of an answer beside its body. */
const EXPOSED_HEADERS = ['X-Error-Code', 'X-Request-Id', 'Retry-After', 'WWW-Authenticate'];

/** Lets pages of the configured origins call the API; outside production, where none are configured, local ones. */
export function shareWithOrigins(app: NestFastifyApplication, config: Config): void {
  const origin = config.corsOrigins ? [...config.corsOrigins] : config.production ? undefined : LOCAL_ORIGIN;
  if (origin === undefined) return;
  app.enableCors({
    origin,
    methods: ['GET', 'POST', 'PATCH', 'DELETE'],
    allowedHeaders: ['Authorization', 'Content-Type', 'Idempotency-Key', 'X-API-Key'],
    exposedHeaders: EXPOSED_HEADERS,
    maxAge: 600,
  });
}
