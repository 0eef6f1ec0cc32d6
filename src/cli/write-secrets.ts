import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SystemRandom } from '../core/random';

const random = new SystemRandom();

/** A secret of 256 bits that needs no escaping in an URL. */
const newSecret = (): string => random.bytes(32).toString('base64url');

/**
 * `node dist/cli/write-secrets.js APP_FOLDER MYSQL_FOLDER`: makes the secrets of the compose file, each where only the
 * service that needs it can read it. What is there already is left alone, so that a restart changes nothing.
 */
function main([appFolder, mysqlFolder]: string[]): void {
  if (appFolder === undefined || mysqlFolder === undefined) throw new Error('Name two folders');
  const password = keep(mysqlFolder, 'password', newSecret);
  keep(mysqlFolder, 'root-password', newSecret);
  keep(appFolder, 'auth-secret', newSecret);
  keep(appFolder, 'database-url', () => `mysql://latchkey:${password}@mysql:3306/latchkey`);
}

function keep(folder: string, name: string, make: () => string): string {
  const file = join(folder, name);
  // The folder is a volume of its own, mounted by the services that need it; they run as different users.
  mkdirSync(folder, { recursive: true });
  if (!existsSync(file)) writeFileSync(file, make(), { mode: 0o444, flag: 'wx' });
  return readFileSync(file, 'utf8');
}

main(process.argv.slice(2));
