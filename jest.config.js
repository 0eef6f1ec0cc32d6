// @ts-check

/** Faults that only one of the engines can have; on the other there is nothing to be tested. */
const ON_SQLITE_ONLY = ['/test/disk-full[.]'];
const ON_MYSQL_ONLY = [
  '/test/(database-password|encrypted-connections|killed-database|least-privilege|lost-hosts|slow-database|switchover)[.]',
];

/** What opens no database is the same on both engines, and is run once. */
const WITHOUT_DATABASE = [
  '<rootDir>/src/',
  '/test/(architecture|asvs|randomness|source-safety|supply-chain|containers|keys-scan)[.]',
];

/** What needs the history of the project is for the long run of what breaks. */
const IN_THE_LONG_RUN_ONLY = ['/test/older-program[.]'];

const onMysql = process.env['DATABASE_URL']?.startsWith('mysql:') ?? false;

/**
 * One configuration for both engines: DATABASE_URL decides where the end-to-end tests keep their rows
 * (`npm run test:mysql` sets it). swc compiles; the type check is a step of its own.
 *
 * @type {import('jest').Config}
 */
module.exports = {
  rootDir: __dirname,
  roots: ['<rootDir>/src', '<rootDir>/test'],
  testMatch: ['**/*.spec.ts', '**/*.e2e-spec.ts'],
  testSequencer: '<rootDir>/test/support/slowest-first.js',
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  testPathIgnorePatterns: [
    '/node_modules/',
    ...(process.env['FAULTS'] === 'long' ? [] : IN_THE_LONG_RUN_ONLY),
    ...(onMysql ? [...ON_SQLITE_ONLY, ...WITHOUT_DATABASE] : ON_MYSQL_ONLY),
  ],
  testTimeout: 30_000,
  maxWorkers: 2,
  // Each file loads the framework anew, and a worker that has loaded it thirty times spends its time collecting garbage.
  workerIdleMemoryLimit: '600MB',
  transform: {
    '^.+\\.(t|m?j)s$': [
      '@swc/jest',
      {
        module: { type: 'commonjs' },
        sourceMaps: 'inline',
        jsc: {
          target: 'es2023',
          keepClassNames: true,
          parser: { syntax: 'typescript', decorators: true },
          transform: {
            legacyDecorator: true,
            decoratorMetadata: true,
            useDefineForClassFields: true,
          },
        },
      },
    ],
  },
  // Nest ships ES modules only, and jest loads CommonJS. The exporter of traces loads Node's `http` in a way that jest lacks.
  transformIgnorePatterns: ['/node_modules/(?!(@nestjs|uuid|@opentelemetry/otlp-exporter-base)/)'],
};
