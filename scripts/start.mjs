// @ts-check
// `node scripts/start.mjs main`: builds if need be, then runs that program of the build in this very process, so that
// signals reach it.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ensureBuild } from './build.mjs';

const [program = 'main', ...parameters] = process.argv.slice(2);
let folder;
try {
  folder = await ensureBuild();
} catch (error) {
  // The compiler has said what is wrong itself.
  const { status, message } = /** @type {Error & { status?: number }} */ (error);
  process.stderr.write(
    `Latchkey could not be built; ${status === undefined ? message : 'see above'}. (\`npm ci\` must have installed the development tools too; with NODE_ENV=production: \`npm ci --include=dev\`.)\n`,
  );
  process.exit(1);
}
const file = join(folder, `${program}.js`);
process.argv = [process.execPath, file, ...parameters];
// Not imported: an import would read the file a second time, to guess what it exports.
createRequire(import.meta.url)(file);
