// @ts-check
// Preloaded into a process, has it say at its end which modules it has loaded from outside of its own file.
const Module = require('node:module');
const { isMainThread } = require('node:worker_threads');

const loader = /** @type {{ _load: (request: string, ...rest: unknown[]) => unknown }} */ (
  /** @type {unknown} */ (Module)
);
const load = loader._load;
/** @type {Set<string>} */
const names = new Set();
/** @param {string} request @param {unknown[]} rest */
loader._load = (request, ...rest) => {
  names.add(request);
  return load(request, ...rest);
};

if (isMainThread) {
  process.on('exit', () => process.stderr.write(`Modules: ${JSON.stringify([...names])}\n`));
}
