// @ts-check
// Puts `crashing-server.ts` and the compiled service into one file of the build, since it is started again and again, and
// prints where that is.
import { randomUUID } from 'node:crypto';
import { renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle, ensureBuild } from '../../scripts/build.mjs';

const SOURCES = '../../src/';

const folder = dirname(fileURLToPath(import.meta.url));
const build = await ensureBuild();
const target = join(build, 'crashing-server.js');
const draft = join(build, `crashing-server-${randomUUID()}.js`);

await bundle(join(folder, 'crashing-server.ts'), draft, [
  {
    // Nest needs the types of constructors' parameters at runtime, which only the real build writes down.
    name: 'compiled sources',
    setup: (setup) => {
      setup.onResolve({ filter: /^\.\.\/\.\.\/src\// }, ({ path }) => ({
        path: join(build, `${path.slice(SOURCES.length)}.js`),
      }));
    },
  },
]);
renameSync(draft, target);
process.stdout.write(target);
