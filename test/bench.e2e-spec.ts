import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { runToEnd, Server } from '../bench/servers';
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

  describe('with floors of its own', () => {
    let folder: string;
    beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-test-'))));
    afterAll(() => rmSync(folder, { recursive: true }));
    const written = (name: string, text: string): string => {
      const file = join(folder, name);
      writeFileSync(file, text);
      return file;
    };

    it('ends, names the floor and leaves nothing running where one does not start', async () => {
      const own = await createDatabase();
      const path = process.env['PATH'] ?? '';
      const pids = join(folder, 'pids');
      const taskset = written(
        'taskset',
        `#!/bin/sh\ncase "$*" in *minimal-server*) exit 1;; *main.js*) echo $$ >> ${pids};; esac\nPATH='${path}' exec taskset "$@"\n`,
      );
      chmodSync(taskset, 0o755);

      const { code, stderr } = await bench(shortly, {
        BENCH_DATABASE_URL: own.url,
        PATH: `${folder}:${path}`,
      });
      await own.drop();

      expect([code, stderr]).toEqual([
        1,
        expect.stringContaining('minimal-server.cjs did not start') as string,
      ]);
      const started = readFileSync(pids, 'utf8').trim().split('\n').map(Number);
      expect(started).toHaveLength(1);
      for (const pid of started) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    });

    it.each([
      [
        'listens and never answers',
        "require('node:net').createServer().listen(process.env.PORT, '127.0.0.1')",
        1_000,
      ],
      ['is killed', "process.kill(process.pid, 'SIGKILL')", 60_000],
    ])(
      'gives a program up that %s',
      async (_, code, patience) => {
        const script = written('silent.cjs', code);

        const starting = Server.start({ script, environment: {}, readyPath: '/', patience });

        await expect(starting).rejects.toThrow(`${script} did not start`);
      },
      20_000,
    );

    it('has all cores for what is to have them, though it has left one itself', async () => {
      const cores = written('count.cjs', "console.log(require('node:os').availableParallelism())");
      const servers = join(__dirname, '..', 'bench', 'servers.ts');
      const mover = written(
        'mover.mts',
        `import { moveToOtherCores, runToEnd } from '${servers}';
        moveToOtherCores(process.pid);
        process.stdout.write(await runToEnd('${cores}', {}, 20_000, 'all'));`,
      );

      const program = new Program(['--import', 'tsx', mover], {});

      expect([await program.exit(), program.stdout]).toEqual([0, `${availableParallelism()}\n`]);
    });

    it('gives a program up that does not end by itself', async () => {
      const script = written('endless.cjs', 'setInterval(() => undefined, 1000)');

      await expect(runToEnd(script, {}, 500)).rejects.toThrow(`${script} did not end as it should`);
    });

    it('hashes with as many threads as Latchkey would have on as many cores', async () => {
      const cores = written('cores.cjs', "require('node:os').availableParallelism = () => 4;");
      const environment = { BUILD: join(__dirname, '..', 'src'), SECONDS: '1', CALLERS: '10' };

      const printed = await runToEnd(
        join(__dirname, '..', 'bench', 'floors', 'raw-hash.cjs'),
        { ...environment, NODE_OPTIONS: `--require ${cores}` },
        60_000,
        'all',
      );

      expect(JSON.parse(printed)).toMatchObject({ threads: 3 });
    });
  });
});
