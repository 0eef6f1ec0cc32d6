// @ts-check

/**
 * The long run of everything that must hold while something breaks or is restarted: `npm run test:faults`. The short run of
 * the same is part of `npm test`.
 *
 * @type {import('jest').Config}
 */
module.exports = {
  ...require('./jest.config.js'),
  testMatch: [
    'rolling-restarts',
    'shutdown',
    'disk-full',
    'crowded-pool',
    'killed-service',
    'killed-database',
    'slow-database',
    'flapping-redis',
    'skewed-clocks',
    'older-release',
  ].map((name) => `<rootDir>/test/${name}.e2e-spec.ts`),
  verbose: true,
};

process.env['FAULTS'] = 'long';
