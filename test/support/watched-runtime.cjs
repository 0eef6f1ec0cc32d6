// @ts-check
// Loaded before a program with `--require`, in its threads too: writes a line to standard error whenever code is made out of
// text, a connection is opened or a file is read or written, and refuses to start another program.
'use strict';

const childProcess = require('node:child_process');
const fs = require('node:fs');
const { writeSync } = fs;
const { resolve } = require('node:path');
const { fileURLToPath, URL } = require('node:url');
const net = require('node:net');
const vm = require('node:vm');

/** @param {string} what */
const report = (what) => {
  const [, , , caller = ''] = (new Error().stack ?? '').split('\n');
  // At once, also from a thread.
  writeSync(2, `WATCHED ${what}${caller.trim()}\n`);
};

/**
 * @template {object} T
 * @param {T} original
 * @param {string} what
 * @returns {T}
 */
const watched = (original, what) =>
  new Proxy(original, {
    apply(target, self, parameters) {
      report(`${what} `);
      return Reflect.apply(/** @type {never} */ (target), self, parameters);
    },
    construct(target, parameters) {
      report(`${what} `);
      return Reflect.construct(/** @type {never} */ (target), parameters);
    },
  });

const { connect } = net.Socket.prototype;
net.Socket.prototype.connect = /** @this {net.Socket} @param {unknown[]} parameters */ function (
  ...parameters
) {
  const [options] = parameters.flat();
  const { host, port } = /** @type {{ host?: string; port?: number }} */ (Object(options));
  // At once, also from a thread.
  writeSync(2, `OPENED ${host}:${port}\n`);
  return Reflect.apply(connect, this, parameters);
};

/** @param {unknown} path */
const pathOf = (path) => resolve(path instanceof URL ? fileURLToPath(path) : String(path));
const touched = new Set();
/** @type {Record<string, string[]>} */
const KINDS = {
  READ: ['readFile', 'readdir', 'createReadStream', 'opendir'],
  WRITTEN: [
    'writeFile',
    'appendFile',
    'mkdir',
    'mkdtemp',
    'rm',
    'rmdir',
    'unlink',
    'rename',
    'symlink',
    'link',
    'truncate',
    'chmod',
    'chown',
    'createWriteStream',
  ],
};
for (const [kind, names] of Object.entries(KINDS)) {
  for (const name of names) {
    for (const [library, key] of /** @type {[any, string][]} */ ([
      [fs, name],
      [fs, `${name}Sync`],
      [fs.promises, name],
    ])) {
      const original = library[key];
      if (original === undefined) continue;
      library[key] = /** @this {unknown} @param {unknown[]} parameters */ function (...parameters) {
        note(kind, parameters[0]);
        return Reflect.apply(original, this, parameters);
      };
    }
  }
}
for (const [library, key] of /** @type {[any, string][]} */ ([
  [fs, 'open'],
  [fs, 'openSync'],
  [fs.promises, 'open'],
])) {
  const original = library[key];
  library[key] = /** @this {unknown} @param {unknown[]} parameters */ function (...parameters) {
    const flags =
      typeof parameters[1] === 'string' || typeof parameters[1] === 'number' ? parameters[1] : 'r';
    note(['r', 'rs', 0].includes(flags) ? 'READ' : 'WRITTEN', parameters[0]);
    return Reflect.apply(original, this, parameters);
  };
}

/**
 * Once for each, at once, also from a thread. What is a number is open already.
 *
 * @param {string} kind
 * @param {unknown} path
 */
function note(kind, path) {
  if (typeof path === 'number') return;
  const line = `${kind} ${pathOf(path)}\n`;
  if (touched.has(line)) return;
  touched.add(line);
  writeSync(2, line);
}

const RealFunction = Function;
globalThis.Function = watched(RealFunction, 'Function');
Object.defineProperty(RealFunction.prototype, 'constructor', { value: globalThis.Function });
globalThis.eval = watched(globalThis.eval, 'eval');
for (const name of ['Script', 'compileFunction', 'runInThisContext', 'runInContext', 'runInNewContext'])
  Object.assign(vm, { [name]: watched(/** @type {never} */ (vm)[name], `vm.${name}`) });
for (const name of ['exec', 'execFile', 'execFileSync', 'execSync', 'fork', 'spawn', 'spawnSync'])
  Object.assign(childProcess, {
    [name]: () => {
      report(`child_process.${name} `);
      throw new Error('No other program may be started');
    },
  });
