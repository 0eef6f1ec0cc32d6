// @ts-check
// `npm run bench:start`: milliseconds from the start of the process to the first 200, and resident memory then, beside those
// of a bare Nest application on the same adapter. In turns, so that a noisy machine is noisy to both; medians and their
// ratio at the end.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBuild } from '../scripts/build.mjs';

const ROUNDS = 9;
const here = dirname(fileURLToPath(import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-'));

const candidates = {
  'bare Nest': { script: join(here, 'bare-nest.cjs'), path: '/' },
  Latchkey: { script: join(await ensureBuild(), 'main.js'), path: '/health/ready' },
};

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (probe.address());
      probe.close(() => resolve(port));
    });
  });
}

/** @param {{ script: string, path: string }} candidate */
async function measure({ script, path }) {
  const port = await freePort();
  const begun = performance.now();
  const child = spawn(process.execPath, [script], {
    env: { ...process.env, PORT: String(port), DATABASE_URL: `sqlite:${join(folder, 'auth.sqlite')}` },
    stdio: 'ignore',
  });
  for (;;) {
    const ready = await fetch(`http://127.0.0.1:${port}${path}`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const milliseconds = performance.now() - begun;
  const [, kilobytes] = readFileSync(`/proc/${child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/) ?? [];
  child.kill('SIGKILL');
  return { milliseconds, megabytes: Number(kilobytes) / 1024 };
}

/** @param {number[]} values */
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

/** @type {Record<string, { milliseconds: number[], megabytes: number[] }>} */
const results = {};
for (let round = 0; round <= ROUNDS; round += 1) {
  for (const [name, candidate] of Object.entries(candidates)) {
    const { milliseconds, megabytes } = await measure(candidate);
    // The first round warms the disk cache and makes the database.
    if (round === 0) continue;
    const result = (results[name] ??= { milliseconds: [], megabytes: [] });
    result.milliseconds.push(milliseconds);
    result.megabytes.push(megabytes);
  }
}
rmSync(folder, { recursive: true });

const medians = Object.entries(results).map(([name, { milliseconds, megabytes }]) => ({
  name,
  milliseconds: median(milliseconds),
  megabytes: median(megabytes),
}));
for (const { name, milliseconds, megabytes } of medians) {
  console.log(`${name.padEnd(10)} ${milliseconds.toFixed(0)} ms, ${megabytes.toFixed(0)} MB`);
}
const [floor, ours] = medians;
if (floor && ours) {
  console.log(
    `ratio      ${(ours.milliseconds / floor.milliseconds).toFixed(2)}, ${(ours.megabytes / floor.megabytes).toFixed(2)}`,
  );
}
