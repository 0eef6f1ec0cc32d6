/**
 * How many requests are made up from the document: a taste with every test run, `PROPERTY_REQUESTS=10000` where there is time.
 */
export const REQUESTS = Number(process.env['PROPERTY_REQUESTS'] ?? 800);

/** Whether lists are gone through to their end, and not only here and there. */
export const thorough = REQUESTS >= 10_000;
