import { createDatabase, onMysql, type TestDatabase } from './support/database';
import { Program } from './support/server-process';

/** A measurement takes a while, short as it is. */
jest.setTimeout(300_000);

/** A private database on SQLite; on MySQL the one that it is given. */
const ENGINE = onMysql ? 'mysql' : 'sqlite';

describe('the benchmark', () => {
  let database: TestDatabase;
  beforeAll(async () => (database = await createDatabase()));
  afterAll(() => database.drop());

  const bench = async (words: string[], settings: Record<string, string>) => {
    const program = new Program(['--import', 'tsx', 'bench/main.ts', ...words], settings);
    return { code: await program.exit(), stdout: program.stdout, stderr: program.stderr };
  };
  const shortly = ['--engine', ENGINE, '--seconds', '1', '--rounds', '1', '--only', 'refresh'];

  it('measures Latchkey beside its floors in one run, and prints ratios with their targets', async () => {
    const { code, stdout, stderr } = await bench(shortly, { BENCH_DATABASE_URL: database.url });

    expect([code, stderr]).toEqual([0, expect.not.stringContaining('Error') as string]);
    const ratio = String.raw`\*\*\d+\.\d\d\*\*`;
    for (const floor of ['minimal server', 'raw guarded UPDATE']) {
      expect(stdout).toMatch(
        new RegExp(`^\\| POST /auth/refresh \\|.*\\| ${floor}: .*\\| ${ratio} .*\\|$`, 'm'),
      );
    }
    expect(stdout).toMatch(
      new RegExp(`^\\| first answer \\|.* ms \\|.* ms \\| ${ratio} \\| ≤ 1.5.*\\|$`, 'm'),
    );
    expect(stdout).toMatch(
      new RegExp(`^\\| resident memory \\|.* MB \\|.* MB \\| ${ratio} \\| ≤ 2.*\\|$`, 'm'),
    );
  });

  it('fills no database that holds something, and none of SQLite that it is given', async () => {
    await database.rows('CREATE TABLE something (id INTEGER)');

    const { code, stdout, stderr } = await bench(['--engine', 'mysql'], { BENCH_DATABASE_URL: database.url });

    const reason = onMysql ? 'give a database that holds no tables' : 'only a database of MySQL can be given';
    expect([code, stderr]).toEqual([1, expect.stringContaining(`BENCH_DATABASE_URL: ${reason}`) as string]);
    expect(stdout).not.toContain('|');
  });
});
