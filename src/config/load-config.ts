import { readFileSync } from 'node:fs';
import { belongTogether } from './certificates';
import { type Config, toConfig } from './config';
import type { DatabaseLocation } from './database-location';
import { SETTINGS, type SettingName, type Settings } from './settings';

/** The start is refused; the message lists every fault by the variable's name and holds no secret. */
export class ConfigError extends Error {
  constructor(readonly faults: readonly string[]) {
    super(`The settings are not valid:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

/**
 * Reads the settings from environment variables, as the code wants them.
 *
 * @throws ConfigError naming every fault at once
 */
export function loadConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const config = toConfig(loadSettings(environment));
  const { database } = config;
  if (database.engine === 'sqlite' || !environment['DATABASE_URL_FILE']) return config;
  return { ...config, database: { ...database, readAgain: () => loadLocation(environment) } };
}

/** Where rows are kept, by that setting alone. */
function loadLocation(environment: Readonly<Record<string, string | undefined>>): DatabaseLocation {
  const faults: string[] = [];
  const parsed = SETTINGS.shape.DATABASE_URL.safeParse(readSetting('DATABASE_URL', environment, faults));
  if (!parsed.success) {
    faults.push(...parsed.error.issues.map(({ message }) => `DATABASE_URL ${message}`));
  } else if (environment['NODE_ENV'] === 'production') {
    faults.push(...faultsOfPassword(parsed.data));
  }
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults);
  return parsed.data;
}

/**
 * Reads the settings from environment variables, by their names. An empty variable counts as unset, since that is what
 * compose files and shells make of a missing one; a file that is named and empty is a fault.
 *
 * @throws ConfigError naming every fault at once
 */
export function loadSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  const faults: string[] = [];
  const values: Partial<Record<SettingName, string>> = {};
  for (const name of Object.keys(SETTINGS.shape) as SettingName[]) {
    const value = readSetting(name, environment, faults);
    if (value !== undefined) values[name] = value;
  }
  const parsed = SETTINGS.safeParse(values);
  if (!parsed.success) {
    faults.push(...parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`));
  } else {
    faults.push(...faultsBetween(parsed.data));
  }
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults);
  return parsed.data;
}

/** What is wrong where other services, which verify tokens, have a secret that is more than that. */
function sharedSecret(where: string): string {
  return `JWT_SECRET must not be ${where}: who verifies tokens with it could make anything else`;
}

/**
 * Refuses a master secret that was kept in a file and read after the settings, where `JWT_SECRET` is the same.
 *
 * @throws ConfigError
 */
export function refuseSharedSecret({ jwtSecret, secretFile }: Config, master: string): void {
  if (jwtSecret === master) throw new ConfigError([sharedSecret(`the master secret in ${secretFile}`)]);
}

/** What is wrong with settings that are right each by itself. */
function faultsBetween(settings: Settings): string[] {
  const { DATABASE_URL: database, AUTH_SECRET, JWT_SECRET, NODE_ENV } = settings;
  const faults: string[] = [];
  if (database.engine === 'mysql' && AUTH_SECRET === undefined) {
    faults.push('AUTH_SECRET is required with MySQL; make one with: openssl rand -base64 48');
  }
  if (AUTH_SECRET !== undefined && AUTH_SECRET === JWT_SECRET) {
    faults.push(sharedSecret('AUTH_SECRET'));
  }
  // They sign nothing, but what is made with one of them is believed.
  if (JWT_SECRET !== undefined && settings.AUTH_SECRET_PREVIOUS.includes(JWT_SECRET)) {
    faults.push(sharedSecret('in AUTH_SECRET_PREVIOUS'));
  }
  if (NODE_ENV === 'production') faults.push(...faultsOfPassword(database));
  if (NODE_ENV === 'production' && settings.REDIS_URL !== undefined) {
    const { username: user, password } = new URL(settings.REDIS_URL);
    // One that only this machine or network can reach may ask for none.
    if (password !== '' && isDefaultPassword({ user, password })) {
      faults.push('REDIS_URL must not hold a default password in production');
    }
  }
  if (
    settings.METRICS_PORT !== undefined &&
    settings.METRICS_PORT !== 0 &&
    settings.METRICS_PORT === settings.PORT
  ) {
    faults.push('METRICS_PORT must not be PORT: whoever can call the API could read the figures');
  }
  return [...faults, ...faultsOfTls(settings)];
}

function faultsOfTls(settings: Settings): string[] {
  const { DATABASE_URL: database, REDIS_URL, TLS_CERT, TLS_KEY } = settings;
  const encrypted = (database.engine === 'mysql' && database.tls) || REDIS_URL?.startsWith('rediss:');
  const unused = (['TLS_CA', 'TLS_CERT', 'TLS_KEY'] as const).find((name) => settings[name] !== undefined);
  if (unused !== undefined && !encrypted) {
    return [
      `${unused} is for DATABASE_URL with ?ssl-mode=VERIFY_IDENTITY or a rediss:// REDIS_URL; neither is set`,
    ];
  }
  if (TLS_CERT !== undefined && TLS_KEY === undefined) return ['TLS_CERT needs its private key in TLS_KEY'];
  if (TLS_KEY !== undefined && TLS_CERT === undefined) return ['TLS_KEY needs its certificate in TLS_CERT'];
  if (TLS_CERT === undefined || TLS_KEY === undefined || belongTogether(TLS_CERT, TLS_KEY)) return [];
  return ['TLS_KEY is not the private key of TLS_CERT'];
}

function faultsOfPassword(database: DatabaseLocation): string[] {
  if (database.engine === 'sqlite' || !isDefaultPassword(database)) return [];
  return ['DATABASE_URL must not hold an empty or a default password in production'];
}

/** ASVS 13.2.3. */
function isDefaultPassword({ user, password }: { user: string; password: string }): boolean {
  const known = [
    '',
    'root',
    'mysql',
    'mariadb',
    'admin',
    'password',
    'secret',
    'changeme',
    'example',
    'redis',
    'test',
    '123456',
  ];
  return known.includes(password.toLowerCase()) || password === user;
}

function readSetting(
  name: SettingName,
  environment: Readonly<Record<string, string | undefined>>,
  faults: string[],
): string | undefined {
  const direct = environment[name] || undefined;
  const file = environment[`${name}_FILE`] || undefined;
  if (file === undefined || !mayBeFile(name)) return direct;
  if (direct !== undefined) {
    faults.push(`${name} and ${name}_FILE are both set; keep one`);
    return undefined;
  }
  try {
    const value = readFileSync(file, 'utf8').trim();
    if (value !== '') return value;
    // Not unset: whoever names a file means what is to stand in it, which may be about to be written.
    faults.push(`${name}_FILE is empty: ${file}`);
    return undefined;
  } catch (error) {
    faults.push(
      `${name}_FILE cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'}): ${file}`,
    );
    return undefined;
  }
}

/** Whether the setting may come from a file named by `NAME_FILE`. */
export function mayBeFile(name: SettingName): boolean {
  return isSecret(name) || SETTINGS.shape[name].meta()?.['file'] === true;
}

/** Whether its value is for nobody to see: not in a message, not in a report. */
export function isSecret(name: SettingName): boolean {
  return SETTINGS.shape[name].meta()?.['secret'] === true;
}
