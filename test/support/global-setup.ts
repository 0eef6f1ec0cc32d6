import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Some tests start the real thing as a process of its own; it is built once, before them. */
export default function buildOnce(): void {
  execFileSync(process.execPath, [join(__dirname, '..', '..', 'scripts', 'build.mjs')], { stdio: 'inherit' });
}
