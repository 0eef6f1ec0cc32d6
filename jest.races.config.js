// @ts-check

/**
 * The long run of everything that is proven by doing it very often: `npm run test:races`. The short run of the same is part
 * of `npm test`.
 *
 * @type {import('jest').Config}
 */
module.exports = {
  ...require('./jest.config.js'),
  testMatch: ['races', 'retry-rule', 'revocation-bound', 'survivors', 'theft', 'crashes'].map(
    (name) => `<rootDir>/test/${name}.e2e-spec.ts`,
  ),
  verbose: true,
};

process.env['RACES'] = 'long';
