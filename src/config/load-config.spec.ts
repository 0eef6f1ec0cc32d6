import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { SystemRandom } from '../core/random';
import { StartError } from '../core/start-error';
import type { MysqlLocation } from './database-location';
import { ConfigError, loadConfig, mayBeFile } from './load-config';
import { readOrCreateMasterSecret } from './master-secret';
import { SETTINGS, type SettingName } from './settings';

const faultsOf = (environment: Record<string, string>): readonly string[] => {
  try {
    loadConfig(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
};

/** Any certificate will do. */
const [AUTHORITY = ''] = rootCertificates;

/** Of no certificate. */
const KEY = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** Written nowhere, and the same in every run, whose tests are named after it. */
const SECRET = createHash('sha256').update('load-config.spec').digest('base64url');
const OTHER_SECRET = createHash('sha256').update('another').digest('base64url');

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'latchkey-config-'))));
afterAll(() => rmSync(folder, { recursive: true }));

describe('settings', () => {
  it('are complete when nothing is set', () => {
    expect(loadConfig({})).toMatchObject({
      production: false,
      host: '127.0.0.1',
      port: 3000,
      database: { engine: 'sqlite', file: join(process.cwd(), 'data/auth.sqlite') },
      secretFile: join(process.cwd(), 'data/auth-secret'),
      jwtIssuer: 'http://localhost:3000',
      jwtAudience: 'http://localhost:3000',
      accessTokenTtl: 3600,
      sessionIdleTimeout: 2_592_000,
      sessionMaxAge: 7_776_000,
      refreshGrace: 10,
      stepUpMaxAge: 900,
      uniformLoginErrors: false,
      rateLimits: true,
      registrationOpen: true,
      passwordMinLength: 8,
      apiDocs: true,
      metrics: false,
      metricsPort: undefined,
      tracing: undefined,
      shutdownDelay: 0,
      logLevel: 'info',
    });
  });

  it('give metrics a port of their own in production, which another setting may move', () => {
    expect(loadConfig({ NODE_ENV: 'production' }).metricsPort).toBe(9464);
    expect(loadConfig({ NODE_ENV: 'production', METRICS_PORT: '9000' }).metricsPort).toBe(9000);
    expect(loadConfig({ METRICS_PORT: '9000' }).metricsPort).toBe(9000);
  });

  it('reads where traces go, headers unescaped', () => {
    const { tracing } = loadConfig({
      OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector.example.com/otlp/',
      OTEL_EXPORTER_OTLP_HEADERS: 'api-key=a%3Db, x=y=z',
      OTEL_TRACES_SAMPLER_ARG: '0.25',
    });

    expect(tracing).toEqual({
      endpoint: 'https://collector.example.com/otlp',
      headers: { 'api-key': 'a=b', x: 'y=z' },
      attributes: {},
      serviceName: 'latchkey',
      ratio: 0.25,
    });
  });

  it('reads what traces say of the instance, unescaped, and its name there unless that has a setting of its own', () => {
    const settings = {
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318',
      OTEL_RESOURCE_ATTRIBUTES: 'service.name=doors, team=locks%2C keys%3D,empty=',
    };
    const attributes = { 'service.name': 'doors', team: 'locks, keys=', empty: '' };

    expect(loadConfig(settings).tracing).toMatchObject({ attributes, serviceName: 'doors' });
    expect(loadConfig({ ...settings, OTEL_SERVICE_NAME: 'front' }).tracing?.serviceName).toBe('front');
    const nameless = { ...settings, OTEL_RESOURCE_ATTRIBUTES: 'service.name=' };
    expect(loadConfig(nameless).tracing?.serviceName).toBe('latchkey');
  });

  it('reads origins of sites, and of apps and extensions, to which the URL standard gives none', () => {
    const origins = [
      'https://app.example.com',
      'http://[::1]:5173',
      'capacitor://localhost',
      'tauri://localhost:1430',
      'chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb',
    ];

    expect(loadConfig({ CORS_ORIGINS: origins.join(', ') }).corsOrigins).toEqual(origins);
  });

  it('count as unset when they are empty, as compose files leave them', () => {
    expect(loadConfig({ PORT: '', AUTH_SECRET: '', REFRESH_GRACE: '' })).toMatchObject({
      port: 3000,
      refreshGrace: 10,
    });
  });

  it.each<[string, Record<string, string>]>([
    ['NODE_ENV', { NODE_ENV: 'prod' }],
    ['NODE_ENV', { NODE_ENV: 'Production' }],
    ['NODE_ENV', { NODE_ENV: 'PRODUCTION' }],
    ['NODE_ENV', { NODE_ENV: 'production\n' }],
    ['NODE_ENV', { NODE_ENV: ' production' }],
    ['NODE_ENV', { NODE_ENV: 'PROD ' }],
    ['PORT', { PORT: '65536' }],
    ['PORT', { PORT: '-1' }],
    ['PORT', { PORT: '3000.5' }],
    ['PORT', { PORT: ' 3000' }],
    ['ACCESS_TOKEN_TTL', { ACCESS_TOKEN_TTL: '0' }],
    ['ACCESS_TOKEN_TTL', { ACCESS_TOKEN_TTL: '1e12' }],
    ['ACCESS_TOKEN_TTL', { ACCESS_TOKEN_TTL: '999999999999' }],
    ['REFRESH_GRACE', { REFRESH_GRACE: '-1' }],
    ['PASSWORD_MIN_LENGTH', { PASSWORD_MIN_LENGTH: '7' }],
    ['PASSWORD_MIN_LENGTH', { PASSWORD_MIN_LENGTH: '65' }],
    ['LOGIN_ERRORS', { LOGIN_ERRORS: 'Uniform' }],
    ['REGISTRATION', { REGISTRATION: 'no' }],
    ['API_DOCS', { API_DOCS: 'false' }],
    ['LOG_LEVEL', { LOG_LEVEL: 'loud' }],
    ['AUTH_SECRET', { AUTH_SECRET: 'x'.repeat(31) }],
    ['AUTH_SECRET', { AUTH_SECRET: `${SECRET},y` }],
    ['AUTH_SECRET', { AUTH_SECRET: 'x'.repeat(64) }],
    ['AUTH_SECRET', { AUTH_SECRET: 'change-me-to-something-long-and-random-please' }],
    ['AUTH_SECRET_PREVIOUS', { AUTH_SECRET_PREVIOUS: `${SECRET},${'y'.repeat(40)}` }],
    ['JWT_SECRET', { JWT_SECRET: 'a-string-secret-at-least-256-bits-long' }],
    ['JWT_SECRET', { AUTH_SECRET: SECRET, JWT_SECRET: SECRET }],
    ['JWT_SECRET', { AUTH_SECRET_PREVIOUS: `${OTHER_SECRET}, ${SECRET}`, JWT_SECRET: SECRET }],
    ['DATABASE_URL', { NODE_ENV: 'production', AUTH_SECRET: SECRET, DATABASE_URL: 'mysql://user@host/name' }],
    [
      'DATABASE_URL',
      { NODE_ENV: 'production', AUTH_SECRET: SECRET, DATABASE_URL: 'mysql://user:Password@host/name' },
    ],
    [
      'DATABASE_URL',
      { NODE_ENV: 'production', AUTH_SECRET: SECRET, DATABASE_URL: 'mysql://user:user@host/name' },
    ],
    ['AUTH_SECRET_PREVIOUS', { AUTH_SECRET_PREVIOUS: `${SECRET},short` }],
    ['REDIS_URL', { NODE_ENV: 'production', REDIS_URL: 'redis://user:password@host' }],
    ['REDIS_URL', { NODE_ENV: 'production', REDIS_URL: 'redis://:redis@host:6379/1' }],
    ['REDIS_URL', { REDIS_URL: 'rediss://host/?tls=' }],
    ['REDIS_URL', { REDIS_URL: 'rediss://host?tls=x' }],
    ['REDIS_URL', { REDIS_URL: 'rediss://host/0#x' }],
    ['REDIS_URL', { REDIS_URL: 'redis:///var/run/redis' }],
    ['JWT_SECRET', { JWT_SECRET: 'short' }],
    ['DATABASE_URL', { DATABASE_URL: 'postgres://user@host/name' }],
    ['DATABASE_URL', { DATABASE_URL: 'sqlite:' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://host/name' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://user@host' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://user@host/na`me' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://user@host/name?ssl=true' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://user@host/name?ssl-mode=REQUIRED' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://user@host/name?ssl-mode=VERIFY_CA' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://user@host/name?ssl-mode=DISABLED&ssl-mode=VERIFY_IDENTITY' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://user@10.0.0.7/name?ssl-mode=VERIFY_IDENTITY' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://user@[fd00::7]/name?ssl-mode=VERIFY_IDENTITY' }],
    ['TLS_CA', { REDIS_URL: 'rediss://cache.example', TLS_CA: 'ca.pem' }],
    ['TLS_CA', { REDIS_URL: 'rediss://cache.example', TLS_CA: `${AUTHORITY}and more` }],
    ['TLS_CA', { REDIS_URL: 'redis://cache.example', TLS_CA: AUTHORITY }],
    ['TLS_CA', { AUTH_SECRET: SECRET, DATABASE_URL: 'mysql://user@host/name', TLS_CA: AUTHORITY }],
    ['TLS_CERT', { REDIS_URL: 'rediss://cache.example', TLS_CERT: 'cert.pem', TLS_KEY: KEY }],
    ['TLS_CERT', { REDIS_URL: 'rediss://cache.example', TLS_CERT: AUTHORITY }],
    ['TLS_CERT', { REDIS_URL: 'redis://cache.example', TLS_CERT: AUTHORITY, TLS_KEY: KEY }],
    ['TLS_KEY', { REDIS_URL: 'rediss://cache.example', TLS_KEY: KEY }],
    ['TLS_KEY', { REDIS_URL: 'rediss://cache.example', TLS_CERT: AUTHORITY, TLS_KEY: KEY }],
    ['TLS_KEY', { REDIS_URL: 'rediss://cache.example', TLS_CERT: AUTHORITY, TLS_KEY: AUTHORITY }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://user:100%sure@host/name' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://user@host/na%me' }],
    ['AUTH_SECRET', { DATABASE_URL: 'mysql://user@host/name' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: '*' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: 'https://app.example.com/' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: 'app.example.com' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: 'null' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: 'capacitor://*' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: 'capacitor://localhost/' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: 'capacitor://Localhost' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: 'capacitor://user@localhost' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: 'file://localhost' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: 'file:///' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: 'javascript:alert' }],
    ['BREACHED_PASSWORDS_URL', { BREACHED_PASSWORDS_URL: 'http://passwords.example.com/range' }],
    ['BREACHED_PASSWORDS_URL', { BREACHED_PASSWORDS_URL: 'https://user@passwords.example.com/range' }],
    ['BREACHED_PASSWORDS_URL', { BREACHED_PASSWORDS_URL: 'https://passwords.example.com/range?mode=ntlm' }],
    ['BREACHED_PASSWORDS_URL', { BREACHED_PASSWORDS_URL: 'passwords.example.com' }],
    ['METRICS', { METRICS: 'yes' }],
    ['METRICS_PORT', { METRICS_PORT: '70000' }],
    ['METRICS_PORT', { PORT: '8080', METRICS_PORT: '8080' }],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://user:pass@collector:4318' }],
    ['OTEL_EXPORTER_OTLP_HEADERS', { OTEL_EXPORTER_OTLP_HEADERS: 'no header' }],
    ['OTEL_EXPORTER_OTLP_HEADERS', { OTEL_EXPORTER_OTLP_HEADERS: 'key=100%' }],
    ['OTEL_EXPORTER_OTLP_HEADERS', { OTEL_EXPORTER_OTLP_HEADERS: 'key=a%0Ab' }],
    ['OTEL_EXPORTER_OTLP_HEADERS', { OTEL_EXPORTER_OTLP_HEADERS: 'key=%00' }],
    ['OTEL_EXPORTER_OTLP_HEADERS', { OTEL_EXPORTER_OTLP_HEADERS: 'other=x,key=%E2%82%AC' }],
    ['OTEL_RESOURCE_ATTRIBUTES', { OTEL_RESOURCE_ATTRIBUTES: 'no attribute' }],
    ['OTEL_RESOURCE_ATTRIBUTES', { OTEL_RESOURCE_ATTRIBUTES: 'a=b=c' }],
    ['OTEL_RESOURCE_ATTRIBUTES', { OTEL_RESOURCE_ATTRIBUTES: '=b' }],
    ['OTEL_RESOURCE_ATTRIBUTES', { OTEL_RESOURCE_ATTRIBUTES: 'a=100%' }],
    ['OTEL_RESOURCE_ATTRIBUTES', { OTEL_RESOURCE_ATTRIBUTES: `a=${'b'.repeat(256)}` }],
    ['OTEL_TRACES_SAMPLER_ARG', { OTEL_TRACES_SAMPLER_ARG: '1.5' }],
    ['SHUTDOWN_DELAY', { SHUTDOWN_DELAY: '301' }],
    ['TRUST_PROXY', { TRUST_PROXY: 'true' }],
    ['TRUST_PROXY', { TRUST_PROXY: '10.0.0.0/33' }],
    ['TRUST_PROXY', { TRUST_PROXY: 'proxy.example.com' }],
  ])('name %s when it is wrong: %j', (name, environment) => {
    const faults = faultsOf(environment);

    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(new RegExp(`^${name} `));
  });

  it.each(['development', 'test', 'staging', 'preproduction', ' '])(
    'take any other name for one of development: %j',
    (name) => {
      expect(loadConfig({ NODE_ENV: name }).production).toBe(false);
    },
  );

  it('are all named at once, and no value of a secret is shown', () => {
    const faults = faultsOf({
      PORT: 'x',
      JWT_SECRET: 'mysecret',
      DATABASE_URL: 'mysql://:hidden@host',
      API_DOCS: 'x',
    });

    expect(faults.map((fault) => fault.split(' ')[0])).toEqual([
      'PORT',
      'DATABASE_URL',
      'JWT_SECRET',
      'API_DOCS',
    ]);
    expect(faults.join()).not.toMatch(/mysecret|hidden/);
  });

  it('reads the parts of a MySQL address, escapes included', () => {
    const { database } = loadConfig({
      DATABASE_URL: 'mysql://some%40body:p%2Fw%3A%40@[::1]:3307/latch_key',
      AUTH_SECRET: SECRET,
    });

    expect(database).toEqual({
      engine: 'mysql',
      host: '::1',
      port: 3307,
      user: 'some@body',
      password: 'p/w:@',
      database: 'latch_key',
    });
  });

  it('speaks TLS to MySQL where its address says so, and believes the authorities that are named', () => {
    const location = 'mysql://user:kettle@db.example/auth';
    const databaseOf = (settings: Record<string, string>) =>
      loadConfig({ AUTH_SECRET: SECRET, ...settings }).database;
    const file = join(folder, 'ca.pem');
    writeFileSync(file, `${AUTHORITY}\n${rootCertificates[1]}\n`);

    expect(databaseOf({ DATABASE_URL: location })).not.toHaveProperty('tls');
    expect(databaseOf({ DATABASE_URL: `${location}?ssl-mode=DISABLED` })).not.toHaveProperty('tls');
    expect(databaseOf({ DATABASE_URL: `${location}?ssl-mode=VERIFY_IDENTITY` })).toHaveProperty('tls', {});
    const encrypted = { DATABASE_URL: `${location}?ssl-mode=VERIFY_IDENTITY`, TLS_CA_FILE: file };
    expect(databaseOf(encrypted)).toHaveProperty('tls', { ca: `${AUTHORITY}\n${rootCertificates[1]}` });
  });

  it('reads the address of MySQL again from its file, and judges it as at the start', () => {
    const file = join(folder, 'database-url');
    const write = (userInfo: string) => writeFileSync(file, `mysql://${userInfo}@host/name\n`);
    write('user:kettle');
    const settings = { NODE_ENV: 'production', AUTH_SECRET: SECRET, DATABASE_URL_FILE: file };
    const { database } = loadConfig(settings) as { database: MysqlLocation };
    const found = (userInfo: string) => {
      write(userInfo);
      return database.readAgain?.();
    };

    expect(found('other:lagoon')).toMatchObject({ engine: 'mysql', user: 'other', password: 'lagoon' });
    expect(() => found('user:root')).toThrow('must not hold an empty or a default password in production');
    expect(() => found('user:100%sure')).toThrow('DATABASE_URL holds a %');
    expect(() => found('user:100%sure')).not.toThrow('sure');
    expect(
      loadConfig({ AUTH_SECRET: SECRET, DATABASE_URL: 'mysql://user:kettle@host/name' }).database,
    ).not.toHaveProperty('readAgain');
  });

  it('takes every secret from a file', () => {
    const [file, other] = [join(folder, 'secret'), join(folder, 'other-secret')];
    writeFileSync(file, `${SECRET}\n`);
    writeFileSync(other, `other-${SECRET}\n`);

    expect(loadConfig({ AUTH_SECRET_FILE: file, JWT_SECRET_FILE: other })).toMatchObject({
      authSecret: SECRET,
      jwtSecret: `other-${SECRET}`,
    });
  });

  it('refuses a secret that is given twice, and a file that cannot be read', () => {
    expect(faultsOf({ AUTH_SECRET: SECRET, AUTH_SECRET_FILE: '/some/file' })).toEqual([
      'AUTH_SECRET and AUTH_SECRET_FILE are both set; keep one',
    ]);
    expect(faultsOf({ AUTH_SECRET_FILE: join(folder, 'missing') })).toEqual([
      `AUTH_SECRET_FILE cannot be read (ENOENT): ${join(folder, 'missing')}`,
    ]);
  });
});

describe('a file that is named for a setting', () => {
  const names = ['DATABASE_URL', 'AUTH_SECRET', 'AUTH_SECRET_PREVIOUS', 'JWT_SECRET', 'REDIS_URL'];
  const others = ['TLS_CA', 'TLS_CERT', 'TLS_KEY', 'OTEL_EXPORTER_OTLP_HEADERS'];

  it.each([...names, ...others])('is refused when it holds nothing, or nothing but blanks: of %s', (name) => {
    const file = join(folder, 'holds-nothing');
    for (const held of ['', ' \n\t\n', '\uFEFF\n']) {
      writeFileSync(file, held);

      expect(faultsOf({ NODE_ENV: 'production', [`${name}_FILE`]: file })).toEqual([
        `${name}_FILE is empty: ${file}`,
      ]);
    }
  });

  it('is refused when it holds nothing, also where it is read again', () => {
    const file = join(folder, 'emptied');
    writeFileSync(file, 'mysql://user:kettle@host/name');
    const { database } = loadConfig({ AUTH_SECRET: SECRET, DATABASE_URL_FILE: file }) as {
      database: MysqlLocation;
    };

    writeFileSync(file, '');

    expect(() => database.readAgain?.()).toThrow(`DATABASE_URL_FILE is empty: ${file}`);
  });

  it('is every one that may be named', () => {
    const all = Object.keys(SETTINGS.shape) as SettingName[];

    expect([...names, ...others].sort()).toEqual(all.filter(mayBeFile).sort());
  });
});

describe('the master secret', () => {
  const random = new SystemRandom();

  it('is made once, for its owner only', () => {
    const file = join(folder, 'data', 'auth-secret');

    const made = readOrCreateMasterSecret(file, random);

    expect(made).toMatch(/^[\w-]{64}$/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readOrCreateMasterSecret(file, random)).toBe(made);
  });

  it('is never replaced by a process that came second', () => {
    const file = join(folder, 'race', 'auth-secret');
    // The second arrives while the first is between looking and writing.
    let theirs: string | undefined;
    const interrupted = {
      bytes: (length: number) => {
        theirs ??= readOrCreateMasterSecret(file, random);
        return random.bytes(length);
      },
    };

    const ours = readOrCreateMasterSecret(file, interrupted);

    expect(ours).toBe(theirs);
    expect(readFileSync(file, 'utf8').trim()).toBe(theirs);
  });

  it('is refused with a sentence where it can be neither read nor made', () => {
    const file = join(folder, 'no-folder', 'auth-secret');
    writeFileSync(join(folder, 'no-folder'), '');

    expect(() => readOrCreateMasterSecret(file, random)).toThrow(StartError);
    expect(() => readOrCreateMasterSecret(file, random)).toThrow(
      `The master secret ${file} can be neither read nor made (ENOTDIR); check the permissions of its folder, or set AUTH_SECRET.`,
    );
  });

  it.each(['short', 'x'.repeat(48)])(
    'is refused when its file holds too little, and the file is left alone: %s',
    (held) => {
      const file = join(folder, 'short-secret');
      writeFileSync(file, held);

      expect(() => readOrCreateMasterSecret(file, random)).toThrow(ConfigError);
      expect(readFileSync(file, 'utf8')).toBe(held);
    },
  );
});
