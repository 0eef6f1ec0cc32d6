import { toConfig } from '../config/config';
import { ConfigError, isSecret, loadConfig, loadSettings, refuseSharedSecret } from '../config/load-config';
import { lookAtMasterSecret } from '../config/master-secret';
import { type SettingName, SETTINGS, type Settings } from '../config/settings';
import { SystemClock } from '../core/clock';
import type { Command, Report, Surroundings } from './command';
import { examineDatabase } from './database-checkup';
import { fail, type Finding } from './findings';
import { examineRedis } from './redis-checkup';
import { examineSettings } from './settings-checkup';

export const DIAGNOSIS_COMMANDS: Command[] = [
  {
    name: 'config check',
    summary:
      'reads the settings as the start does and prints every fault, or what is in effect, without secrets; touches nothing',
    examples: [
      { line: 'latchkey config check', purpose: 'before a restart with new settings' },
      { line: 'latchkey config check --json | jq .settings.JWT_ISSUER', purpose: 'one setting' },
    ],
    run: (_, { environment }) => Promise.resolve(checkSettings(environment)),
  },
  {
    name: 'doctor',
    summary:
      'looks at settings, secret, database, clock, disk, Redis and audit trail, and says what to change; changes nothing itself',
    examples: [
      { line: 'latchkey doctor', purpose: 'after an installation, or when something is odd' },
      { line: 'latchkey doctor --json', purpose: 'for monitoring: exit code 1 when a check fails' },
    ],
    run: (_, { environment }) => examine(environment),
  },
];

function checkSettings(environment: Surroundings['environment']): Report {
  try {
    const settings = loadSettings(environment);
    const config = toConfig(settings);
    const { secretFile, authSecret, jwtAudience } = config;
    const kept = authSecret === undefined && secretFile !== undefined && lookAtMasterSecret(secretFile);
    if (kept) refuseSharedSecret(config, kept);
    const shown = {
      ...shownSettings(settings, environment),
      ...(kept && { AUTH_SECRET: `*** (from ${secretFile})` }),
      JWT_AUDIENCE: jwtAudience,
    };
    return {
      text: Object.entries(shown)
        .map(([name, value]) => `${name}=${value ?? ''}`)
        .join('\n'),
      data: { valid: true, faults: [], settings: shown },
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { text: error.message, data: { valid: false, faults: error.faults }, bad: true };
  }
}

/** By name, as they could be set. */
function shownSettings(
  settings: Settings,
  environment: Surroundings['environment'],
): Record<string, string | null> {
  const names = Object.keys(SETTINGS.shape) as SettingName[];
  return Object.fromEntries(
    names.map((name) => [
      name,
      name === 'DATABASE_URL' ? shownDatabase(settings[name]) : shown(name, settings[name], environment),
    ]),
  );
}

function shown(
  name: SettingName,
  value: Settings[SettingName],
  environment: Surroundings['environment'],
): string | null {
  if (value === undefined) return null;
  if (isSecret(name)) {
    if (Array.isArray(value)) return value.map(() => '***').join(',');
    return environment[`${name}_FILE`] ? `*** (from ${environment[`${name}_FILE`]})` : '***';
  }
  if (Array.isArray(value)) return value.join(',');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function shownDatabase(location: Settings['DATABASE_URL']): string {
  if (location.engine === 'sqlite') return `sqlite:${location.file}`;
  const { user, host, port, database, tls } = location;
  const mode = tls ? '?ssl-mode=VERIFY_IDENTITY' : '';
  return `mysql://${encodeURIComponent(user)}:***@${host}:${port}/${database}${mode}`;
}

async function examine(environment: Surroundings['environment']): Promise<Report> {
  const findings = await findingsOf(environment);
  const bad = findings.some(({ severity }) => severity === 'fail');
  return {
    text: findings.map(describe).join('\n'),
    data: { healthy: !bad, findings },
    bad,
  };
}

async function findingsOf(environment: Surroundings['environment']): Promise<Finding[]> {
  try {
    const config = loadConfig(environment);
    const clock = new SystemClock();
    return [
      ...examineSettings(config, clock),
      ...(await examineDatabase(config, clock)),
      ...(await examineRedis(config)),
    ];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map((fault) => fail('settings', fault, fault.split(' ')[0]));
  }
}

function describe({ check, severity, message, setting }: Finding): string {
  const advice = severity !== 'ok' && setting !== undefined ? ` [${setting}]` : '';
  return `${severity.padEnd(4)}  ${check.padEnd(10)}  ${message}${advice}`;
}
