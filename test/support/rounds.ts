import * as fc from 'fast-check';

/** Whether this is the long run: `npm run test:races`. */
export const longRun = process.env['RACES'] === 'long';

/** Milliseconds that one proof may take. */
export const PROOF_TIMEOUT_MS = longRun ? 4 * 3600 * 1000 : 120_000;

/** Milliseconds after which a schedule counts as hanging: far more than the longest takes. */
const HANG_MS = 30_000;

/** How often something is tried: RACES_ROUNDS decides, or else whether this is the short run or the long one. */
export function rounds(short: number, long: number): number {
  const given = process.env['RACES_ROUNDS'];
  return given ? Number(given) : longRun ? long : short;
}

/**
 * Tries `proof` on as many schedules as asked for. A schedule that breaks it is made as small as it goes and printed with
 * seed and path: as RACES_SEED and RACES_PATH they bring just that one back; the first number of the path alone brings back
 * the one that it was made of. A schedule that hangs is printed as it is. All that comes before jest gives up, which would
 * print nothing. The short run takes the same schedules every time, so that it means the same on every machine; the long one
 * takes others each time.
 */
export async function explore<Schedule>(
  schedules: fc.Arbitrary<Schedule>,
  count: number,
  proof: (schedule: Schedule) => Promise<void>,
): Promise<void> {
  const { RACES_SEED, RACES_PATH } = process.env;
  const seed = RACES_SEED ? Number(RACES_SEED) : longRun ? Date.now() % 2 ** 31 : 20_261_124;
  // The tests of the short run have nothing to say; of a long one it matters how long it was, and what it was doing when
  // it was killed.
  if (longRun) process.stderr.write(`${expect.getState().currentTestName}: ${count} rounds, seed ${seed}\n`);
  await fc.assert(fc.asyncProperty(schedules, unlessHanging(proof)), {
    seed,
    numRuns: count,
    ...(RACES_PATH && { path: RACES_PATH }),
    plugins: [fc.interruptAfterTimeLimit(0.75 * PROOF_TIMEOUT_MS, { failOnInterrupt: true })],
  });
}

/** The same proof, failing where it would hang. */
function unlessHanging<Schedule>(
  proof: (schedule: Schedule) => Promise<void>,
): (schedule: Schedule) => Promise<void> {
  let hung = false;
  return async (schedule) => {
    // What hangs still holds what it holds: nothing can be learned from smaller schedules any more.
    if (hung) return;
    let timer: NodeJS.Timeout | undefined;
    const hanging = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        hung = true;
        reject(new Error(`No end after ${HANG_MS / 1000} seconds`));
      }, HANG_MS);
    });
    try {
      await Promise.race([proof(schedule), hanging]);
    } finally {
      clearTimeout(timer);
    }
  };
}
