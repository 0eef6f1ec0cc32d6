import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const DRAWS = 500_000;
const LENGTH = 16;

/** What a process of its own draws that has just been started. */
async function draw(): Promise<Buffer> {
  const script = join(__dirname, 'support', 'draw-random-bytes.ts');
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', script, String(DRAWS)], {
    cwd: join(__dirname, '..'),
    encoding: 'buffer',
    maxBuffer: 2 * DRAWS * LENGTH,
  });
  return stdout;
}

/** How many draws are like another. Told by their first halves, of which 2 in 10 million runs would have two alike by chance. */
function countTwins(drawn: Buffer): number {
  const halves = BigUint64Array.from({ length: drawn.length / LENGTH }, (_, index) =>
    drawn.readBigUInt64LE(index * LENGTH),
  ).sort();
  return halves.reduce((twins, half, index) => twins + (half === halves[index + 1] ? 1 : 0), 0);
}

describe('random bytes under load', () => {
  it('are never the same again: in two processes at once, nor after both were started anew', async () => {
    const atOnce = await Promise.all([draw(), draw()]);
    const anew = await Promise.all([draw(), draw()]);

    const all = Buffer.concat([...atOnce, ...anew]);
    expect(all).toHaveLength(4 * DRAWS * LENGTH);
    expect(countTwins(all)).toBe(0);
    expect(countTwins(Buffer.concat([all, all.subarray(0, LENGTH)]))).toBe(1);
  }, 60_000);
});
