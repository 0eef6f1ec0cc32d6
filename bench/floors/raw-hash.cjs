// @ts-check
// Passwords verified in worker threads, as many as Latchkey has on as many cores, and nothing else. Prints how many a second, the
// processor time of each in milliseconds, and the number of threads.
'use strict';
const { availableParallelism } = require('node:os');
const { join } = require('node:path');
const { Piscina } = require('piscina');

const SECONDS = Number(process.env.SECONDS);
const cost = { memoryKib: 19_456, passes: 2, lanes: 1 };
const password = 'granite 1 harbour';

const threads = Math.max(1, availableParallelism() - 1);

async function main() {
  const pool = new Piscina({
    filename: join(process.env.BUILD ?? '', 'crypto', 'hash-worker.js'),
    minThreads: threads,
    maxThreads: threads,
  });
  const text = await pool.run({ kind: 'hash', password, cost });
  const hash = { scheme: 'argon2', text };
  const before = process.cpuUsage();
  const begun = performance.now();
  let count = 0;
  const caller = async () => {
    while (performance.now() - begun < SECONDS * 1000) {
      await pool.run({ kind: 'verify', password, hash });
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: Number(process.env.CALLERS) }, caller));
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - begun) / 1000;
  console.log(
    JSON.stringify({
      perSecond: count / seconds,
      cpuMilliseconds: (user + system) / 1000 / count,
      threads: pool.threads.length,
    }),
  );
  await pool.destroy();
}

void main();
