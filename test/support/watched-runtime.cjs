// @ts-check
// Loaded before a program with `--require`, in its threads too: writes a line to standard error whenever code is made out of
// text or a connection is opened, and refuses to start another program.
'use strict';

const childProcess = require('node:child_process');
const { writeSync } = require('node:fs');
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
