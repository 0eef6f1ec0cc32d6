import { readFileSync } from 'node:fs';
import { type Config, toConfig } from './config';
import { SETTINGS, type SettingName } from './settings';

/** The start is refused; the message lists every fault by the variable's name and holds no secret. */
export class ConfigError extends Error {
  constructor(readonly faults: readonly string[]) {
    super(`The settings are not valid:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

/**
 * Reads the settings from environment variables. An empty variable counts as unset, since that is what compose files and
 * shells make of a missing one.
 *
 * @throws ConfigError naming every fault at once
 */
export function loadConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const faults: string[] = [];
  const values: Partial<Record<SettingName, string>> = {};
  for (const name of Object.keys(SETTINGS.shape) as SettingName[]) {
    const value = readSetting(name, environment, faults);
    if (value !== undefined) values[name] = value;
  }
  const parsed = SETTINGS.safeParse(values);
  if (!parsed.success) {
    faults.push(...parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`));
  } else if (parsed.data.DATABASE_URL.engine === 'mysql' && parsed.data.AUTH_SECRET === undefined) {
    faults.push('AUTH_SECRET is required with MySQL; make one with: openssl rand -base64 48');
  }
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults);
  return toConfig(parsed.data);
}

function readSetting(
  name: SettingName,
  environment: Readonly<Record<string, string | undefined>>,
  faults: string[],
): string | undefined {
  const direct = environment[name] || undefined;
  const file = environment[`${name}_FILE`] || undefined;
  if (file === undefined || !isSecret(name)) return direct;
  if (direct !== undefined) {
    faults.push(`${name} and ${name}_FILE are both set; keep one`);
    return undefined;
  }
  try {
    return readFileSync(file, 'utf8').trim() || undefined;
  } catch (error) {
    faults.push(
      `${name}_FILE cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'}): ${file}`,
    );
    return undefined;
  }
}

/** Whether the setting may come from a file named by `NAME_FILE`. */
export function isSecret(name: SettingName): boolean {
  return SETTINGS.shape[name].meta()?.['secret'] === true;
}
