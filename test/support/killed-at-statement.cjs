// @ts-check
// Loaded before a program with `--require`: ends it, as SIGKILL does, when it is about to send SQLite the statement in which
// KILLED_AT stands.
'use strict';

const Module = require('node:module');
const process = require('node:process');

const deadly = process.env['KILLED_AT'] ?? '';
const loader = /** @type {{ _load: (request: string, ...rest: unknown[]) => unknown }} */ (
  /** @type {unknown} */ (Module)
);
const load = loader._load;
/** @param {string} request @param {unknown[]} rest */
loader._load = (request, ...rest) => {
  const loaded = load(request, ...rest);
  if (request !== '@photostructure/sqlite') return loaded;
  loader._load = load;
  const library =
    /** @type {{ DatabaseSync: new (...given: unknown[]) => { prepare(sql: string): unknown } }} */ (loaded);
  class DatabaseSync extends library.DatabaseSync {
    /** @override @param {string} sql */
    prepare(sql) {
      if (sql.includes(deadly)) process.kill(process.pid, 'SIGKILL');
      return super.prepare(sql);
    }
  }
  return { ...library, DatabaseSync };
};
