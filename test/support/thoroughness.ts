const { PROPERTY_REQUESTS, PROPERTY_SEED: propertySeed } = process.env;

/**
 * How many requests are made up from the document: a taste with every test run, `PROPERTY_REQUESTS=10000` where there is time.
 */
export const REQUESTS = Number(PROPERTY_REQUESTS ?? 800);

/**
 * What is made up is made from this, requests and whatever else: the same every time in the short run, other things each time
 * where the number of requests is given. A failure prints it with the smallest thing that fails; as `PROPERTY_SEED` it repeats
 * the run, and one is set for all of a run of `.ci/run`.
 */
export const PROPERTY_SEED = Number(propertySeed ?? (PROPERTY_REQUESTS ? Date.now() % 2 ** 31 : 20_261_128));

/** Whether lists are gone through to their end, and not only here and there: `LISTS=whole`. */
export const thorough = process.env['LISTS'] === 'whole';

/** Whether this is the long run of what breaks: `npm run test:faults`. */
export const longFaults = process.env['FAULTS'] === 'long';

/** What decides when something breaks: the same moments every time in the short run, others each time in the long one. */
export const FAULTS_SEED = Number(
  process.env['FAULTS_SEED'] ?? (longFaults ? Date.now() % 2 ** 31 : 20_261_127),
);

// Before anything breaks, so that what is killed itself has said it.
if (longFaults) process.stderr.write(`${expect.getState().testPath}: FAULTS_SEED=${FAULTS_SEED}\n`);

/** How often what may go wrong is made to go wrong: more often in the long run (`npm run test:faults`). */
export const FAULT_ROUNDS = faultRounds(10, 20);

/** How often something is broken: FAULTS_ROUNDS decides, or else whether this is the short run or the long one. */
export function faultRounds(short: number, long: number): number {
  const given = process.env['FAULTS_ROUNDS'];
  return given ? Number(given) : longFaults ? long : short;
}
