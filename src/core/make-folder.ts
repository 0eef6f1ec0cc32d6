import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a folder and those that it lies in, where they are missing; its owner's only. Not by the `recursive` of Node's own, which
 * tries for ever where a folder says that it is there and nothing can be made in it, as `/proc` does.
 *
 * @throws what the file system says, the first time that it refuses
 */
export function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process was faster.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
