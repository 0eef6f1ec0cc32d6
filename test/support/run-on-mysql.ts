import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { MariadbServer } from './mariadb-server';

/**
 * `npm run test:mysql`: the whole suite on MySQL or MariaDB. With DATABASE_URL on that server (whose user may create
 * databases), without on a private one.
 */
async function main(): Promise<void> {
  const given = process.env['DATABASE_URL'];
  const server = given ? undefined : await MariadbServer.create();
  try {
    const jest = spawn(
      process.execPath,
      [join(require.resolve('jest/package.json'), '..', 'bin', 'jest.js'), ...process.argv.slice(2)],
      { stdio: 'inherit', env: { ...process.env, DATABASE_URL: given ?? server?.url } },
    );
    const [code] = (await once(jest, 'exit')) as [number | null];
    process.exitCode = code ?? 1;
  } finally {
    await server?.remove();
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
});
