/**
 * How many requests are made up from the document: a taste with every test run, `PROPERTY_REQUESTS=10000` where there is time.
 */
export const REQUESTS = Number(process.env['PROPERTY_REQUESTS'] ?? 800);

/** Whether lists are gone through to their end, and not only here and there. */
export const thorough = REQUESTS >= 10_000;

/** How often what may go wrong is made to go wrong: more often in the long run (`npm run test:faults`). */
export const FAULT_ROUNDS = process.env['FAULTS'] === 'long' ? 20 : 5;
