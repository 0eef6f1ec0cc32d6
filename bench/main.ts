import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { MariadbServer } from '../test/support/mariadb-server';
import { footprint, machine, memoryAfter, table } from './report';
import { moveToOtherCores } from './servers';
import { compare, type Run, starting, WORKLOAD_NAMES } from './workloads';

const ENGINES = ['sqlite', 'mysql'];

const HELP = `npm run bench -- [--engine sqlite|mysql] [--seconds N] [--rounds N] [--only WORKLOAD] [--start | --million]

Measures Latchkey beside its floors, in turns on one core, with the load on the others, and prints the ratios as Markdown.

  --engine   only that one; otherwise SQLite, then MySQL: a private MariaDB, or the empty database that BENCH_DATABASE_URL names
  --seconds  of each measurement (4)
  --rounds   measurements of each side (3); ratios are medians over the rounds
  --only     one of verify, read, refresh, login, storm; otherwise all of them
  --start    only start and memory
  --million  with 100,000 users and a million sessions in the database
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      engine: { type: 'string' },
      seconds: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '3' },
      only: { type: 'string' },
      start: { type: 'boolean', default: false },
      million: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(HELP);
  const { only, engine } = values;
  if (engine !== undefined && !ENGINES.includes(engine))
    throw new Error(`--engine must be one of ${ENGINES.join(', ')}.`);
  const workloads = WORKLOAD_NAMES.filter((name) => only === undefined || name === only);
  if (workloads.length === 0) throw new Error(`--only must be one of ${WORKLOAD_NAMES.join(', ')}.`);
  const { ensureBuild } = (await import(join('..', 'scripts', 'build.mjs'))) as {
    ensureBuild: () => Promise<string>;
  };
  const run = {
    build: await ensureBuild(),
    seconds: Number(values.seconds),
    rounds: Number(values.rounds),
    million: values.million,
    workloads,
  };
  moveToOtherCores(process.pid);
  console.log(`${machine()}, ${run.rounds} rounds of ${run.seconds} s\n`);
  if (engine !== 'mysql') await onSqlite(run, values.start);
  if (engine !== 'sqlite') await onMysql(run, values.start);
}

async function onSqlite(run: Omit<Run, 'databaseUrl'>, onlyStart: boolean): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-'));
  try {
    const databaseUrl = `sqlite:${join(folder, 'auth.sqlite')}`;
    await measureOn('SQLite', { ...run, databaseUrl }, onlyStart);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Start and memory last: then the database holds what the workloads have put into it. */
async function measureOn(engine: string, run: Run, onlyStart: boolean): Promise<void> {
  if (!onlyStart) {
    const { comparisons, megabytes } = await compare(run);
    console.log(table(engine, comparisons));
    console.log(memoryAfter(engine, megabytes));
  }
  console.log(footprint(engine, await starting(run)));
}

async function onMysql(run: Omit<Run, 'databaseUrl'>, onlyStart: boolean): Promise<void> {
  const given = process.env['BENCH_DATABASE_URL'];
  if (given) {
    await requireEmpty(given);
    return measureOn('MySQL', { ...run, databaseUrl: given }, onlyStart);
  }
  const server = await MariadbServer.create({ durable: true });
  try {
    if (server.pid !== undefined) moveToOtherCores(server.pid);
    await measureOn('MariaDB', { ...run, databaseUrl: await newDatabase(server.url) }, onlyStart);
  } finally {
    await server.remove();
  }
}

/**
 * What is measured is filled with users and sessions that are made up, under a secret that is made up: never what a service uses. It is
 * left filled.
 */
async function requireEmpty(url: string): Promise<void> {
  if (!url.startsWith('mysql:'))
    throw new Error('BENCH_DATABASE_URL: only a database of MySQL can be given.');
  const connection = await createConnection(url);
  const [tables] = await connection.query<RowDataPacket[]>('SHOW TABLES').finally(() => connection.end());
  if (tables.length > 0) throw new Error('BENCH_DATABASE_URL: give a database that holds no tables.');
}

/** A database of this benchmark on a server, by the URL of another one there. */
async function newDatabase(url: string): Promise<string> {
  const name = 'latchkey_bench';
  const connection = await createConnection(url);
  await connection.query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`);
  await connection.end();
  return new URL(`/${name}`, url).href;
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
