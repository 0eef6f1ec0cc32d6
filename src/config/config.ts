import { dirname, join, resolve } from 'node:path';
import type { DatabaseLocation, TlsIdentities } from './database-location';
import type { Settings } from './settings';

/** Where traces go, and how many of them. */
export interface TracingSettings {
  /** Without a slash at its end. */
  endpoint: string;
  headers: Record<string, string>;
  serviceName: string;
  /** What else is told of whoever sends them, as the operator wants it. */
  attributes: Record<string, string>;
  /** Share of requests that are traced, 0 to 1. */
  ratio: number;
}

/** Default of `METRICS_PORT` in production: that of OpenTelemetry's exporter for Prometheus. */
const METRICS_PORT = 9464;

/** The settings as the code reads them: typed, checked, named for what they mean. Injected; nothing reads the environment. */
export abstract class Config {
  readonly production: boolean;
  readonly host: string;
  readonly port: number;
  readonly database: DatabaseLocation;
  /** The master secret as configured; absent where it is kept in `secretFile`. */
  readonly authSecret: string | undefined;
  /** Secrets that still verify and never sign. */
  readonly previousAuthSecrets: readonly string[];
  /** Where the generated master secret lives; only with SQLite. */
  readonly secretFile: string | undefined;
  /** Absent: derived from the master secret. */
  readonly jwtSecret: string | undefined;
  readonly jwtIssuer: string;
  readonly jwtAudience: string;
  /** Seconds. */
  readonly accessTokenTtl: number;
  /** Seconds a session may lie idle. */
  readonly sessionIdleTimeout: number;
  /** Seconds a session may live. */
  readonly sessionMaxAge: number;
  /** Seconds; 0 accepts each refresh token once. */
  readonly refreshGrace: number;
  /** Seconds; 0 switches the check off. */
  readonly stepUpMaxAge: number;
  /** Absent: no Redis. */
  readonly redisUrl: string | undefined;
  /** Whose certificates MySQL and Redis may show, and which they are shown. */
  readonly tls: TlsIdentities;
  /** Hops, addresses and CIDR ranges, or nobody. */
  readonly trustProxy: number | string[] | undefined;
  /** Whether an unknown user is answered like a wrong password. */
  readonly uniformLoginErrors: boolean;
  /** Whether anything is limited at all. */
  readonly rateLimits: boolean;
  readonly registrationOpen: boolean;
  /** Code points. */
  readonly passwordMinLength: number;
  /** With a slash at its end; absent: no service is asked. */
  readonly breachedPasswordsUrl: string | undefined;
  readonly apiKeyEnvironment: 'live' | 'test';
  /** Absent: none in production, any localhost origin elsewhere. */
  readonly corsOrigins: readonly string[] | undefined;
  readonly apiDocs: boolean;
  readonly metrics: boolean;
  /** Absent: that of the API. */
  readonly metricsPort: number | undefined;
  /** Absent: nothing is traced. */
  readonly tracing: TracingSettings | undefined;
  /** Seconds. */
  readonly shutdownDelay: number;
  readonly logLevel: Settings['LOG_LEVEL'];
}

export function toConfig(settings: Settings): Config {
  const { DATABASE_URL: database } = settings;
  return {
    production: settings.NODE_ENV === 'production',
    host: settings.HOST,
    port: settings.PORT,
    database: toLocation(settings),
    authSecret: settings.AUTH_SECRET,
    previousAuthSecrets: settings.AUTH_SECRET_PREVIOUS,
    secretFile:
      database.engine === 'sqlite' ? join(dirname(resolve(database.file)), 'auth-secret') : undefined,
    jwtSecret: settings.JWT_SECRET,
    jwtIssuer: settings.JWT_ISSUER,
    jwtAudience: settings.JWT_AUDIENCE ?? settings.JWT_ISSUER,
    accessTokenTtl: settings.ACCESS_TOKEN_TTL,
    sessionIdleTimeout: settings.REFRESH_TOKEN_TTL,
    sessionMaxAge: settings.SESSION_MAX_AGE,
    refreshGrace: settings.REFRESH_GRACE,
    stepUpMaxAge: settings.STEP_UP_MAX_AGE,
    redisUrl: settings.REDIS_URL,
    tls: toIdentities(settings),
    trustProxy: settings.TRUST_PROXY,
    uniformLoginErrors: settings.LOGIN_ERRORS === 'uniform',
    rateLimits: settings.RATE_LIMITS === 'on',
    registrationOpen: settings.REGISTRATION === 'open',
    passwordMinLength: settings.PASSWORD_MIN_LENGTH,
    breachedPasswordsUrl: settings.BREACHED_PASSWORDS_URL,
    apiKeyEnvironment: settings.API_KEY_ENVIRONMENT,
    corsOrigins: settings.CORS_ORIGINS,
    apiDocs: settings.API_DOCS === 'on',
    metrics: settings.METRICS === 'on',
    metricsPort: settings.METRICS_PORT ?? (settings.NODE_ENV === 'production' ? METRICS_PORT : undefined),
    tracing: toTracing(settings),
    shutdownDelay: settings.SHUTDOWN_DELAY,
    logLevel: settings.LOG_LEVEL,
  };
}

function toLocation(settings: Settings): DatabaseLocation {
  const { DATABASE_URL: database } = settings;
  if (database.engine === 'sqlite') return { engine: 'sqlite', file: resolve(database.file) };
  return database.tls ? { ...database, tls: toIdentities(settings) } : database;
}

function toIdentities({ TLS_CA: ca, TLS_CERT: cert, TLS_KEY: key }: Settings): TlsIdentities {
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && key !== undefined && { cert, key }),
  };
}

function toTracing(settings: Settings): TracingSettings | undefined {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_HEADERS: headers = {} } = settings;
  const { OTEL_RESOURCE_ATTRIBUTES: attributes = {} } = settings;
  if (endpoint === undefined) return undefined;
  return {
    ...{ endpoint, headers, attributes },
    serviceName: settings.OTEL_SERVICE_NAME ?? (attributes['service.name'] || 'latchkey'),
    ratio: settings.OTEL_TRACES_SAMPLER_ARG,
  };
}
