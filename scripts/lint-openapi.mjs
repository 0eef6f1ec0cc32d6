// @ts-check
// `npm run openapi:lint`: the committed document through both linters, neither of which may find anything.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);

/** @param {string} name */
const packageFolder = (name) => dirname(require.resolve(`${name}/package.json`));

const linters = [
  [join(packageFolder('@redocly/cli'), 'bin/cli.js'), 'lint', 'openapi.json'],
  [
    join(packageFolder('@stoplight/spectral-cli'), 'dist/index.js'),
    'lint',
    'openapi.json',
    '--fail-severity=hint',
  ],
];

for (const command of linters) {
  const { status } = spawnSync(process.execPath, command, {
    stdio: 'inherit',
    // Neither asks whether there is a newer version, nor tells anybody that it ran.
    env: { ...process.env, REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true', REDOCLY_TELEMETRY: 'off' },
  });
  if (status !== 0) process.exitCode = 1;
}
