import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder } from '../core/make-folder';
import type { Random } from '../core/random';
import { StartError } from '../core/start-error';
import { ConfigError } from './load-config';
import { weaknessOf } from './secret-strength';

/**
 * The master secret kept in `file`, made first if there is none. Readable by its owner only.
 *
 * The file appears whole or not at all, and of two processes that start together one makes it and both use it: it is
 * written under another name and then linked, which fails where the name is taken.
 *
 * @throws ConfigError when the file holds less than 32 bytes, or what is easy to guess
 * @throws StartError when it can be neither read nor made
 */
export function readOrCreateMasterSecret(file: string, random: Random): string {
  try {
    return readOrCreate(file, random);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new StartError(
      `The master secret ${file} can be neither read nor made (${(error as NodeJS.ErrnoException).code ?? 'unknown'}); check the permissions of its folder, or set AUTH_SECRET.`,
      error,
    );
  }
}

function readOrCreate(file: string, random: Random): string {
  const existing = readMasterSecret(file);
  if (existing !== undefined) return existing;
  makeFolder(dirname(file));
  const draft = `${file}.${random.bytes(6).toString('hex')}`;
  writeFileSync(draft, `${random.bytes(48).toString('base64url')}\n`, {
    mode: 0o600,
    flag: 'wx',
    flush: true,
  });
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft);
  }
  return readMasterSecret(file) as string;
}

/**
 * The master secret kept in `file`, or undefined if there is none yet.
 *
 * @throws ConfigError when the file holds less than 32 bytes, or what is easy to guess
 * @throws Error of the operating system when it cannot be read
 */
export function readMasterSecret(file: string): string | undefined {
  let secret: string;
  try {
    secret = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const weakness = weaknessOf(secret);
  if (weakness !== undefined) {
    throw new ConfigError([`The master secret in ${file} ${weakness}, restore the file, or set AUTH_SECRET`]);
  }
  return secret;
}

/**
 * The same for whoever only looks, and may not be the user of the service.
 *
 * @throws ConfigError also when it cannot be read
 */
export function lookAtMasterSecret(file: string): string | undefined {
  try {
    return readMasterSecret(file);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    const remedy = code === 'EACCES' ? 'run this as the user of the service' : 'restore the file';
    throw new ConfigError([
      `The master secret in ${file} cannot be read (${code}), ${remedy}, or set AUTH_SECRET`,
    ]);
  }
}
