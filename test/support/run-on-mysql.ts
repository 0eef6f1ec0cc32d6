import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { MariadbServer } from './mariadb-server';

/**
 * `npm run test:mysql`: the whole suite on MySQL or MariaDB. With DATABASE_URL on that server (whose user may create
 * databases), without on a private one.
 */
async function main(): Promise<void> {
  const given = process.env['DATABASE_URL'];
  const server = given ? undefined : await MariadbServer.create();
  const url = given ?? server?.url;
  try {
    await tellOfLeftOut(url);
    const jest = spawn(
      process.execPath,
      [join(require.resolve('jest/package.json'), '..', 'bin', 'jest.js'), ...process.argv.slice(2)],
      { stdio: 'inherit', env: { ...process.env, DATABASE_URL: url } },
    );
    const [code] = (await once(jest, 'exit')) as [number | null];
    process.exitCode = code ?? 1;
  } finally {
    await server?.remove();
  }
}

/** Says of each file that was asked for and is not run here why that is: jest itself would only find no tests. */
async function tellOfLeftOut(url?: string): Promise<void> {
  process.env['DATABASE_URL'] = url;
  const { default: config } = await import('../../jest.config.js');
  const leftOut = new RegExp((config.testPathIgnorePatterns ?? []).join('|'));
  const wanted = process.argv.slice(2).filter((word) => word.startsWith('test/'));
  for (const name of readdirSync(join(__dirname, '..'))) {
    const file = `test/${name}`;
    if (!wanted.some((word) => file.startsWith(word)) || !leftOut.test(`/${file}`)) continue;
    process.stderr.write(
      `${file} is not for MySQL (jest.config.js says why); on SQLite: npm test -- ${file}\n`,
    );
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
});
