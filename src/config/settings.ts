import { isIP } from 'node:net';
import { z } from 'zod';
import { certificates, privateKey } from './certificates';
import { databaseUrl } from './database-location';
import { decodePart } from './percent-encoding';
import { weaknessOf } from './secret-strength';

/** Ten years: far beyond any sensible lifetime, and far below where dates overflow. */
const LONGEST_SPAN_SECONDS = 315_360_000;

const integer = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, `must be a whole number from ${least} to ${most}`)
    .transform(Number)
    .refine((value) => value >= least && value <= most, `must be a whole number from ${least} to ${most}`);

const seconds = (least: number) => integer(least, LONGEST_SPAN_SECONDS);

const choice = <const T extends readonly [string, ...string[]]>(...values: T) =>
  z.enum(values, `must be ${values.map((value) => `'${value}'`).join(' or ')}`);

/** Every other value means development, so a misspelt `production` is refused instead of passing for one. */
const mode = z
  .string()
  .refine(
    (value) => value === 'production' || !['production', 'prod'].includes(value.trim().toLowerCase()),
    "must be exactly 'production', in small letters and without blanks, where that is meant",
  );

const list = (text: string): string[] =>
  text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');

const secret = z.string().superRefine((value, context) => {
  const weakness = weaknessOf(value);
  if (weakness !== undefined) context.addIssue(weakness);
});

/** One that can stand in a list later. */
const listableSecret = secret.refine(
  (value) => !/[\s,]/.test(value),
  'must not hold commas or white space: it has to fit into the list AUTH_SECRET_PREVIOUS one day',
);

const secretList = z
  .string()
  .transform(list)
  .superRefine((values, context) => {
    // They sign nothing, but what is signed with one of them is believed.
    const weakness = values.map(weaknessOf).find((found) => found !== undefined);
    if (weakness !== undefined)
      context.addIssue(`must be a comma-separated list of secrets, each of which ${weakness}`);
  });

const redisUrl = z.string().refine(
  // What the library reads out of a query would win over what is configured here, TLS included.
  (text) => URL.canParse(text) && /^rediss?:\/\/[^/?#]+(\/\d*)?$/.test(text),
  'must be redis://[user:password@]host:6379[/number], or rediss:// for TLS, without anything behind',
);

const origins = z
  .string()
  .transform(list)
  .refine(
    (values) => values.every(isOrigin),
    "must be a comma-separated list of exact origins such as https://app.example.com, without a path or a '*'",
  );

/** An app in a web view and an extension: their pages send `capacitor://localhost`, of which the URL standard knows no origin. */
const ORIGIN_OF_APP = /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9.-]+(:\d+)?$/;

/** Whether browsers send exactly that. Pages of files send `null`, whichever they are. */
function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, origin } = new URL(text);
  if (origin !== 'null') return origin === text;
  return protocol !== 'file:' && ORIGIN_OF_APP.test(text);
}

const LOOPBACK = ['127.0.0.1', '[::1]', 'localhost'];

/** The range is part of a digest of a password, so it travels encrypted, unless it does not leave the machine. */
const rangeService = z
  .string()
  .refine(
    isRangeService,
    'must be an https:// URL without user, query and fragment, such as https://api.pwnedpasswords.com/range',
  )
  .transform((text) => (text.endsWith('/') ? text : `${text}/`));

function isRangeService(text: string): boolean {
  const url = bareUrl(text);
  if (!url) return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.includes(url.hostname));
}

/** Where OTLP over HTTP goes; the path of the signal is added. */
const collector = z
  .string()
  .refine(isCollector, 'must be an http:// or https:// URL without user, query and fragment')
  .transform((text) => text.replace(/\/+$/, ''));

function isCollector(text: string): boolean {
  return ['http:', 'https:'].includes(bareUrl(text)?.protocol ?? '');
}

/** Undefined for what is no URL, and for one with a user, a query or a fragment. */
function bareUrl(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || /[?#]/.test(text) || url.username !== '' || url.password !== '') return undefined;
  return url;
}

/** What a header may hold (RFC 9110 section 5.5), as Node sends it: with anything else no span would ever leave. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** `name=value,name=value`, values percent-encoded, as the OpenTelemetry specification has it. */
const headerList = z
  .string()
  .transform(list)
  .refine(
    (pairs) =>
      pairs.every((pair) => {
        const decoded = decodePart(pair);
        return /^[\w-]+=[\x21-\x7e]*$/.test(pair) && decoded !== undefined && HEADER_VALUE.test(decoded);
      }),
    'must be a comma-separated list of headers such as api-key=abc',
  )
  .transform((pairs) =>
    Object.fromEntries(
      pairs.map((pair) => {
        const [name = '', ...value] = pair.split('=');
        return [name, decodeURIComponent(value.join('='))];
      }),
    ),
  );

/** `key=value,key=value`, both percent-encoded, as the OpenTelemetry specification has it. */
const attributeList = z
  .string()
  .transform((text) => list(text).map((pair) => pair.split('=').map((part) => decodePart(part.trim()))))
  .refine(
    (pairs) =>
      pairs.every(
        (parts) =>
          parts.length === 2 &&
          parts[0] !== '' &&
          parts.every((part) => part !== undefined && part.length <= 255),
      ),
    'must be a comma-separated list of attributes such as deployment.environment.name=staging',
  )
  .transform((pairs) => Object.fromEntries(pairs) as Record<string, string>);

const ratio = z
  .string()
  .regex(/^(0|1|0?\.\d{1,9}|1\.0+)$/, 'must be a number from 0 to 1, such as 0.1')
  .transform(Number);

const PROXY_NAMES = ['loopback', 'linklocal', 'uniquelocal'];

const proxies = z
  .string()
  .transform((text) => (/^\d{1,2}$/.test(text) ? Number(text) : list(text)))
  .refine(
    (value) => typeof value === 'number' || value.every(isProxyAddress),
    'must be a number of hops, or a comma-separated list of addresses and CIDR ranges',
  );

function isProxyAddress(text: string): boolean {
  if (PROXY_NAMES.includes(text)) return true;
  const [address = '', prefix, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}

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
    default: 'none; any `localhost` origin outside production',
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
