// @ts-check
// Guarded updates of 1,000 rows by primary key, one statement each, and nothing else. Prints how many a second, and the
// processor time of each in milliseconds.
'use strict';

const SECONDS = Number(process.env.SECONDS);
const ROWS = 1_000;
const UPDATE = 'UPDATE bench_rows SET generation = generation + 1 WHERE id = ? AND generation = ?';
const TABLE = 'CREATE TABLE IF NOT EXISTS bench_rows (id INT PRIMARY KEY, generation INT NOT NULL)';
const url = process.env.DATABASE_URL ?? '';

/** @returns {Promise<(sql: string, values: number[]) => Promise<unknown>>} */
async function open() {
  if (url.startsWith('sqlite:')) {
    const { DatabaseSync } = require('@photostructure/sqlite');
    const database = new DatabaseSync(url.slice('sqlite:'.length));
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000');
    database.exec(TABLE);
    const update = database.prepare(UPDATE);
    return async (sql, values) => (sql === UPDATE ? update : database.prepare(sql)).run(...values);
  }
  const pool = require('mysql2/promise').createPool({ uri: url, connectionLimit: 10 });
  await pool.execute(TABLE);
  return (sql, values) => pool.execute(sql, values);
}

async function main() {
  const write = await open();
  await write('DELETE FROM bench_rows', []);
  for (let id = 0; id < ROWS; id += 1)
    await write('INSERT INTO bench_rows (id, generation) VALUES (?, 0)', [id]);
  const generations = new Array(ROWS).fill(0);
  const before = process.cpuUsage();
  const begun = performance.now();
  let count = 0;
  const caller = async () => {
    while (performance.now() - begun < SECONDS * 1000) {
      const id = count++ % ROWS;
      await write(UPDATE, [id, generations[id]++]);
    }
  };
  await Promise.all(Array.from({ length: Number(process.env.CALLERS) }, caller));
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - begun) / 1000;
  console.log(
    JSON.stringify({ perSecond: count / seconds, cpuMilliseconds: (user + system) / 1000 / count }),
  );
  process.exit(0);
}

void main();
