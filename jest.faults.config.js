// @ts-check

process.env['FAULTS'] = 'long';

/**
 * The long run of everything that must hold while something breaks or is restarted: `npm run test:faults`. The short run of
 * the same is part of `npm test`. One file at a time: its numbers allow nothing for a machine that does something else.
 *
 * @type {import('jest').Config}
 */
module.exports = {
  ...require('./jest.config.js'),
  testMatch: [
    'rolling-restarts',
    'shutdown',
    'disk-full',
    'last-resort',
    'outages',
    'crowded-pool',
    'killed-service',
    'killed-database',
    'slow-database',
    'lost-hosts',
    'switchover',
    'flapping-redis',
    'shared-limits',
    'kept-limits',
    'revocation-bound',
    'migrations',
    'skewed-clocks',
    'older-release',
    'older-program',
    'long-import',
  ].map((name) => `<rootDir>/test/${name}.e2e-spec.ts`),
  maxWorkers: 1,
  verbose: true,
};
