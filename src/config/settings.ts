import { z } from 'zod';
import { certificates, privateKey } from './certificates';
import { databaseUrl } from './database-location';
import {
  attributeList,
  choice,
  collector,
  headerList,
  integer,
  listableSecret,
  mode,
  origins,
  proxies,
  rangeService,
  ratio,
  redisUrl,
  seconds,
  secret,
  secretList,
} from './setting-formats';

/**
 * Every setting, in the order of the README's table (a test compares the two). `meta.default` is what the table shows;
 * a setting marked secret, or `file`, can also be given as a file, by its name with `_FILE` behind it.
 */
export const SETTINGS = z.object({
  NODE_ENV: mode.default('development').meta({
    default: '`development`',
    description:
      '`production` turns off what is for development only; another spelling of it, or `prod`, is refused',
  }),
  HOST: z.string().default('127.0.0.1').meta({
    default: '`127.0.0.1`',
    description: 'address to listen on (`0.0.0.0` in the container image)',
  }),
  PORT: integer(0, 65_535)
    .default(3000)
    .meta({ default: '`3000`', description: 'port to listen on; `0` takes any free one' }),
  DATABASE_URL: databaseUrl.default({ engine: 'sqlite', file: 'data/auth.sqlite' }).meta({
    default: '`sqlite:data/auth.sqlite`',
    description:
      'or `mysql://user:password@host:3306/name` (MySQL 8.4+, MariaDB 10.11+); over TLS with `?ssl-mode=VERIFY_IDENTITY`',
    secret: true,
  }),
  AUTH_SECRET: listableSecret.optional().meta({
    default: 'made at first start beside the SQLite file, mode 0600',
    description: 'the master secret, 32 bytes or more; required with MySQL',
    secret: true,
  }),
  AUTH_SECRET_PREVIOUS: secretList.default([]).meta({
    default: 'none',
    description:
      'comma-separated secrets that still verify and never sign, for changing `AUTH_SECRET` without a gap',
    secret: true,
  }),
  JWT_SECRET: secret.optional().meta({
    default: 'derived from `AUTH_SECRET`',
    description:
      'HS256 key of the access tokens; set it only where other services must verify them themselves',
    secret: true,
  }),
  JWT_ISSUER: z
    .string()
    .default('http://localhost:3000')
    .meta({ default: '`http://localhost:3000`', description: '`iss` of every access token' }),
  JWT_AUDIENCE: z
    .string()
    .optional()
    .meta({ default: 'the issuer', description: '`aud` of every access token' }),
  ACCESS_TOKEN_TTL: seconds(1)
    .default(3600)
    .meta({ default: '`3600`', description: 'seconds an access token lives' }),
  REFRESH_TOKEN_TTL: seconds(1)
    .default(2_592_000)
    .meta({ default: '`2592000`', description: 'seconds a session may stay idle' }),
  SESSION_MAX_AGE: seconds(1)
    .default(7_776_000)
    .meta({ default: '`7776000`', description: 'seconds a session may live, however busy' }),
  REFRESH_GRACE: seconds(0).default(10).meta({
    default: '`10`',
    description:
      'seconds in which a repeated refresh gets the same answer; `0` accepts each refresh token exactly once (RFC 9700)',
  }),
  STEP_UP_MAX_AGE: seconds(0).default(900).meta({
    default: '`900`',
    description: 'seconds since the sign-in within which API keys can be made; `0` switches the check off',
  }),
  REDIS_URL: redisUrl.optional().meta({
    default: 'none',
    description:
      '`redis://[user:password@]host:6379`: instances learn of revocations at once and share their limits; `rediss://` is over TLS',
    secret: true,
  }),
  TLS_CA: certificates.optional().meta({
    default: 'the authorities that Node knows',
    description:
      'PEM certificates of the only authorities whose certificates MySQL and Redis may show; for TLS only',
    file: true,
  }),
  TLS_CERT: certificates.optional().meta({
    default: 'none',
    description:
      'PEM certificate that is shown to MySQL and Redis, with those between it and its authority; for TLS only',
    file: true,
  }),
  TLS_KEY: privateKey.optional().meta({
    default: 'none',
    description: 'private key of `TLS_CERT`, PEM, without a passphrase',
    secret: true,
  }),
  TRUST_PROXY: proxies.optional().meta({
    default: 'none',
    description:
      'proxies whose `X-Forwarded-For` is believed: a number of hops, or addresses and CIDR ranges',
  }),
  LOGIN_ERRORS: choice('documented', 'uniform').default('documented').meta({
    default: '`documented`',
    description: '`uniform` answers `Invalid credentials` for unknown users too',
  }),
  RATE_LIMITS: choice('on', 'off')
    .default('on')
    .meta({ default: '`on`', description: '`off` limits nothing: for load tests, never for the public' }),
  REGISTRATION: choice('open', 'closed')
    .default('open')
    .meta({ default: '`open`', description: '`closed` refuses sign-ups; operators still make users' }),
  PASSWORD_MIN_LENGTH: integer(8, 64)
    .default(8)
    .meta({ default: '`8`', description: 'fewest characters (code points) of a new password, 8 to 64' }),
  BREACHED_PASSWORDS_URL: rangeService.optional().meta({
    default: 'none',
    description:
      'service to ask about new passwords, by 5 digits of a digest, such as `https://api.pwnedpasswords.com/range`',
  }),
  API_KEY_ENVIRONMENT: choice('live', 'test').default('live').meta({
    default: '`live`',
    description: 'the part of API keys that tells environments apart: `sk_live_…`',
  }),
  CORS_ORIGINS: origins.optional().meta({
    default: 'none; outside production `localhost`, `127.0.0.1` and `[::1]`, any port',
    description:
      'comma-separated origins whose pages may call the API, those of apps such as `capacitor://localhost` included',
  }),
  API_DOCS: choice('on', 'off')
    .default('on')
    .meta({ default: '`on`', description: 'Swagger UI and the OpenAPI document' }),
  METRICS: choice('on', 'off')
    .default('off')
    .meta({ default: '`off`', description: '`on` exports metrics for Prometheus at `/metrics`' }),
  METRICS_PORT: integer(0, 65_535).optional().meta({
    default: '`9464` in production, else that of the API',
    description:
      'port of `/metrics`, on `HOST`; one of its own keeps the figures from whoever can call the API',
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: collector.optional().meta({
    default: 'none',
    description: 'where traces are sent by OTLP over HTTP, such as `http://127.0.0.1:4318`',
  }),
  OTEL_EXPORTER_OTLP_HEADERS: headerList.optional().meta({
    default: 'none',
    description: 'headers that are sent with them, such as `api-key=…`, comma-separated',
    secret: true,
  }),
  OTEL_SERVICE_NAME: z
    .string()
    .max(255, 'must have at most 255 characters')
    .optional()
    .meta({ default: '`latchkey`', description: 'what the service is called in traces' }),
  OTEL_RESOURCE_ATTRIBUTES: attributeList.optional().meta({
    default: 'none',
    description: 'what else traces say of the instance, such as `service.instance.id=…`, comma-separated',
  }),
  OTEL_TRACES_SAMPLER_ARG: ratio.default(1).meta({
    default: '`1`',
    description: 'share of requests that are traced, 0 to 1, where the caller has not decided it',
  }),
  SHUTDOWN_DELAY: integer(0, 300).default(0).meta({
    default: '`0`',
    description:
      'seconds after SIGTERM in which it still accepts connections while `/health/ready` answers 503, for load balancers that poll it',
  }),
  LOG_LEVEL: choice('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent').default('info').meta({
    default: '`info`',
    description: '`fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`',
  }),
});

export type Settings = z.infer<typeof SETTINGS>;
export type SettingName = keyof Settings;
