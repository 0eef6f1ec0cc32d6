import { join } from 'node:path';

/** What a thread runs. Told from here, because the bundles of the server and of the commands lie where this file lies, not where their users do. */
export function workerFile(room: string, name: string): string {
  return join(__dirname, room, name);
}
