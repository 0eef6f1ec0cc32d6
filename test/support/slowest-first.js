// @ts-check
const { default: Sequencer } = require('@jest/test-sequencer');

/** By what they take in a fresh clone, where jest knows nothing yet but how long a file is. */
const SLOWEST = [
  'operator-commands',
  'login-likeness',
  'properties',
  'naughty-strings',
  'start',
  'crashes',
  'user-import',
  'openapi',
  'command-output',
  'process-one',
  'login-limits',
  'docs-page',
  'skewed-clocks',
  'revocation-bound',
  'shutdown',
  'slow-database',
  'bench',
  'killed-service',
  'killed-database',
  'audit-trail',
  'cli',
  'rolling-restarts',
  'slow-clients',
  'client-address',
  'audit-commands',
  'backup',
];

/** Begins with the files that take longest, so that at the end no worker is alone with one of them. */
class SlowestFirst extends Sequencer {
  /** @override @param {Parameters<Sequencer['sort']>[0]} tests */
  async sort(tests) {
    /** @param {{ path: string }} test */
    const rank = ({ path }) => {
      const place = SLOWEST.findIndex((name) => path.endsWith(`/${name}.e2e-spec.ts`));
      return place === -1 ? SLOWEST.length : place;
    };
    return [...(await super.sort(tests))].sort((a, b) => rank(a) - rank(b));
  }
}

module.exports = SlowestFirst;
