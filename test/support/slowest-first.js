// @ts-check
const { default: Sequencer } = require('@jest/test-sequencer');

/** By what they take in a fresh clone, where jest knows nothing yet but how long a file is. */
const SLOWEST = [
  'login-likeness',
  'properties',
  'naughty-strings',
  'start',
  'login-limits',
  'revocation-bound',
  'slow-database',
  'killed-service',
  'killed-database',
  'openapi',
  'cli',
  'rolling-restarts',
  'slow-clients',
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
