import { isIP } from 'node:net';
import { z } from 'zod';
import { decodePart } from './percent-encoding';
import { weaknessOf } from './secret-strength';

/** Ten years: far beyond any sensible lifetime, and far below where dates overflow. */
const LONGEST_SPAN_SECONDS = 315_360_000;

export const integer = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, `must be a whole number from ${least} to ${most}`)
    .transform(Number)
    .refine((value) => value >= least && value <= most, `must be a whole number from ${least} to ${most}`);

export const seconds = (least: number) => integer(least, LONGEST_SPAN_SECONDS);

export const choice = <const T extends readonly [string, ...string[]]>(...values: T) =>
  z.enum(values, `must be ${values.map((value) => `'${value}'`).join(' or ')}`);

/** Every other value means development, so a misspelt `production` is refused instead of passing for one. */
export const mode = z
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

export const secret = z.string().superRefine((value, context) => {
  const weakness = weaknessOf(value);
  if (weakness !== undefined) context.addIssue(weakness);
});

/** One that can stand in a list later. */
export const listableSecret = secret.refine(
  (value) => !/[\s,]/.test(value),
  'must not hold commas or white space: it has to fit into the list AUTH_SECRET_PREVIOUS one day',
);

export const secretList = z
  .string()
  .transform(list)
  .superRefine((values, context) => {
    // They sign nothing, but what is signed with one of them is believed.
    const weakness = values.map(weaknessOf).find((found) => found !== undefined);
    if (weakness !== undefined)
      context.addIssue(`must be a comma-separated list of secrets, each of which ${weakness}`);
  });

export const redisUrl = z.string().refine(
  // What the library reads out of a query would win over what is configured here, TLS included.
  (text) => URL.canParse(text) && /^rediss?:\/\/[^/?#]+(\/\d*)?$/.test(text),
  'must be redis://[user:password@]host:6379[/number], or rediss:// for TLS, without anything behind',
);

export const origins = z
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
export const rangeService = z
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
export const collector = z
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
export const headerList = z
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
export const attributeList = z
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

export const ratio = z
  .string()
  .regex(/^(0|1|0?\.\d{1,9}|1\.0+)$/, 'must be a number from 0 to 1, such as 0.1')
  .transform(Number);

const PROXY_NAMES = ['loopback', 'linklocal', 'uniquelocal'];

export const proxies = z
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
