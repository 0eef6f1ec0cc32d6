import { statSync } from 'node:fs';
import type { Config } from '../config/config';
import { endOf } from '../config/certificates';
import { ConfigError } from '../config/load-config';
import { lookAtMasterSecret } from '../config/master-secret';
import type { Clock } from '../core/clock';
import { formatInstant } from '../core/instant';
import { fail, type Finding, ok, warn } from './findings';

/** Days before its end in which a certificate ought to be renewed: with which Let's Encrypt does it. */
const RENEWAL_DAYS = 30;

/** Seconds an access token may live before it is worth a word: what a stolen one is good for at a service that verifies alone. */
const LONG_ACCESS_TOKEN_SECONDS = 24 * 3600;

const LOOPBACK = /^(127\.|\[?::1\]?$|localhost$)/;

/** Ranges that hold everybody. */
const EVERYBODY = /\/0+$/;

/** What the settings alone tell, and the file of the master secret. */
export function examineSettings(config: Config, clock: Clock): Finding[] {
  return [
    examineSecret(config),
    examineProxies(config),
    ...examineTransport(config),
    ...examineCertificate(config, clock),
    ...examineProduction(config),
  ];
}

/** The master secret, undefined where it is yet to be made; the reason where it cannot be read. */
export type KnownSecret = { secret: string | undefined } | { unreadable: string };

export function secretOf({ authSecret, secretFile }: Config): KnownSecret {
  if (authSecret !== undefined || secretFile === undefined) return { secret: authSecret };
  try {
    return { secret: lookAtMasterSecret(secretFile) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { unreadable: error.faults.join('; ') };
  }
}

function examineSecret(config: Config): Finding {
  const { authSecret, secretFile } = config;
  if (authSecret !== undefined || secretFile === undefined) return ok('secret', 'AUTH_SECRET is set.');
  const known = secretOf(config);
  if ('unreadable' in known) return fail('secret', `${known.unreadable}.`, 'AUTH_SECRET');
  const found = statSync(secretFile, { throwIfNoEntry: false });
  if (!found)
    return ok('secret', `${secretFile} is not there: a first start makes it, and no later one does.`);
  const mode = (found.mode & 0o777).toString(8).padStart(4, '0');
  if ((found.mode & 0o077) !== 0) {
    return fail(
      'secret',
      `${secretFile} has mode ${mode}: others on this machine can make credentials with it; chmod 600 it, and change the secret if they may have.`,
      'AUTH_SECRET',
    );
  }
  if (known.secret !== undefined && known.secret === config.jwtSecret) {
    return fail(
      'secret',
      `JWT_SECRET is the secret in ${secretFile}: who verifies tokens with it could make anything else.`,
      'JWT_SECRET',
    );
  }
  return ok('secret', `${secretFile} has mode ${mode}.`);
}

function examineProxies({ trustProxy, production, host }: Config): Finding {
  const check = 'proxies';
  if (trustProxy === undefined) {
    if (!production || LOOPBACK.test(host)) return ok(check, 'No proxy is trusted.');
    const message =
      'No proxy is trusted: if one ends TLS in front, everybody behind it counts as one address; name its address or range.';
    return warn(check, message, 'TRUST_PROXY');
  }
  if (typeof trustProxy === 'number') {
    const message = `The last ${trustProxy} hops are trusted, whoever they are: right only where nobody can reach the port but the proxy.`;
    return LOOPBACK.test(host) ? ok(check, message) : warn(check, message, 'TRUST_PROXY');
  }
  const everybody = trustProxy.find((range) => EVERYBODY.test(range));
  if (everybody !== undefined) {
    const message = `${everybody} trusts everybody: each caller can name the address that counts as his.`;
    return fail(check, message, 'TRUST_PROXY');
  }
  return ok(check, `Trusted: ${trustProxy.join(', ')}.`);
}

/** Who on the way could read or change what MySQL and Redis are told. */
function examineTransport({ database, redisUrl }: Config): Finding[] {
  const check = 'transport';
  const findings: Finding[] = [];
  if (database.engine === 'mysql' && !database.tls && !LOOPBACK.test(database.host)) {
    const message = `What passes between here and ${database.host} is not encrypted: right only on a network of your own; ?ssl-mode=VERIFY_IDENTITY encrypts it.`;
    findings.push(warn(check, message, 'DATABASE_URL'));
  }
  if (redisUrl?.startsWith('redis:') && !LOOPBACK.test(new URL(redisUrl).hostname)) {
    const message =
      'What passes between here and Redis is not encrypted: right only on a network of your own; rediss:// encrypts it.';
    findings.push(warn(check, message, 'REDIS_URL'));
  }
  return findings.length > 0
    ? findings
    : [ok(check, 'Nothing leaves this machine unencrypted for MySQL or Redis.')];
}

/** Nobody is let in with one that has ended, and the service reads it at its start only. */
function examineCertificate({ tls: { cert } }: Config, clock: Clock): Finding[] {
  if (cert === undefined) return [];
  const end = endOf(cert);
  const days = (end.getTime() - clock.now().getTime()) / 86_400_000;
  const message = `The certificate that MySQL and Redis are shown ends at ${formatInstant(end)}`;
  if (days <= 0)
    return [fail('certificate', `${message}, which is over; renew it and start again.`, 'TLS_CERT')];
  if (days <= RENEWAL_DAYS) return [warn('certificate', `${message}; renew it and start again.`, 'TLS_CERT')];
  return [ok('certificate', `${message}.`)];
}

/** What is meant for development and dangerous, or at least doubtful, in service. */
function examineProduction(config: Config): Finding[] {
  const check = 'production';
  if (!config.production) {
    return [
      warn(
        check,
        'NODE_ENV is not production: what is looked at for production only is left out.',
        'NODE_ENV',
      ),
    ];
  }
  const findings: Finding[] = [];
  if (!config.rateLimits) {
    findings.push(fail(check, 'Nothing is limited: passwords can be guessed without end.', 'RATE_LIMITS'));
  }
  if (config.jwtIssuer === 'http://localhost:3000') {
    const message = 'Tokens are issued by localhost; set the public address of this service.';
    findings.push(warn(check, message, 'JWT_ISSUER'));
  }
  if (config.accessTokenTtl > LONG_ACCESS_TOKEN_SECONDS) {
    const message = `Access tokens live ${config.accessTokenTtl} s: services that verify them alone accept a stolen one that long.`;
    findings.push(warn(check, message, 'ACCESS_TOKEN_TTL'));
  }
  if (config.stepUpMaxAge === 0) {
    const message = 'API keys can be made without a recent sign-in: a stolen access token can become a key.';
    findings.push(warn(check, message, 'STEP_UP_MAX_AGE'));
  }
  if (['debug', 'trace', 'silent'].includes(config.logLevel)) {
    findings.push(warn(check, `The log level is '${config.logLevel}'; 'info' is for service.`, 'LOG_LEVEL'));
  }
  const plain = config.corsOrigins?.find((origin) => origin.startsWith('http://'));
  if (plain !== undefined) {
    findings.push(
      warn(check, `${plain} is without TLS: whoever is on the way can act as it.`, 'CORS_ORIGINS'),
    );
  }
  return findings.length > 0 ? findings : [ok(check, 'No setting of development is left.')];
}
