import { join } from 'node:path';

/** Path of a worker's script. Resolved here, because the bundles of server and commands lie in this file's folder. */
export function workerFile(room: string, name: string): string {
  return join(__dirname, room, name);
}
