import { bearer, TwoInstances } from './support/instances';
import { PROOF_TIMEOUT_MS, rounds } from './support/rounds';

/** What every other instance may take to learn of a revocation. */
const BOUND_MS = 1000;

/** How often the tokens of the session are replaced before one of them is replayed. */
const GENERATIONS = 4;

/** Seconds for which the replay of the token replaced last is innocent. */
const GRACE_SECONDS = 1;

/** Milliseconds by which the clocks of the two may differ. */
const CLOCK_NOISE_MS = 200;

const SETTINGS = { RATE_LIMITS: 'off', REFRESH_GRACE: String(GRACE_SECONDS) };

interface Tokens {
  token: string;
  refreshToken: string;
}

describe('a refresh token replayed at one of two instances', () => {
  let instances: TwoInstances;
  beforeAll(async () => (instances = await TwoInstances.start(SETTINGS)));
  afterAll(() => instances.stop());

  const at = (number: number) => (number % 2) as 0 | 1;

  const refresh = (instance: number, { refreshToken }: Tokens) =>
    instances.call(at(instance), 'POST', '/auth/refresh', {}, { refreshToken });

  const opens = (instance: number, { token }: Tokens) => instances.status(at(instance), bearer(token));

  /** All tokens of a new session, each replaced at the instance that did not hand it out. */
  const family = async (): Promise<[oldest: Tokens, ...Tokens[]]> => {
    const tokens: [Tokens, ...Tokens[]] = [await instances.newcomer()];
    for (let generation = 1; generation <= GENERATIONS; generation += 1) {
      const { status, body } = await refresh(generation, tokens[generation - 1] as Tokens);
      expect(status).toBe(200);
      tokens.push(body as unknown as Tokens);
    }
    return tokens;
  };

  const theftsWrittenDown = async (): Promise<number> =>
    (await instances.database.rows("SELECT id FROM audit_events WHERE type = 'refresh_token_reused'")).length;

  it(
    'is dead with its whole family: there at once, and at the other within a second',
    async () => {
      for (let round = 1; round <= rounds(20, 200); round += 1) {
        const tokens = await family();
        const [here, there] = [round, round + 1];
        const familyMadeAt = performance.now();
        // Every generation in its turn but the newest, which is live.
        const generation = round % GENERATIONS;
        const replayed = tokens[generation] as Tokens;
        // The one before is a client's that missed its answer, and nobody's but a thief's when the grace has passed.
        const graceMs = generation === GENERATIONS - 1 ? GRACE_SECONDS * 1000 + CLOCK_NOISE_MS : 0;
        do {
          for (const each of tokens)
            expect([await opens(here, each), await opens(there, each)]).toEqual([200, 200]);
        } while (performance.now() - familyMadeAt < graceMs);

        expect((await refresh(here, replayed)).status).toBe(401);

        const deadline = performance.now() + BOUND_MS;
        for (const each of tokens) expect(await opens(here, each)).toBe(401);
        for (const each of tokens) {
          // The database knows: no instance waits to be told.
          expect([(await refresh(there, each)).status, (await refresh(here, each)).status]).toEqual([
            401, 401,
          ]);
        }
        // What is asked in time may be answered later.
        let asked = performance.now();
        while ((await opens(there, tokens[0])) !== 401) {
          expect(asked).toBeLessThan(deadline);
          asked = performance.now();
        }
        for (const each of tokens) expect(await opens(there, each)).toBe(401);
        expect(await theftsWrittenDown()).toBe(round);
      }
    },
    PROOF_TIMEOUT_MS,
  );

  it('is one theft, though it is replayed at both at once, and ends the session once', async () => {
    const before = await theftsWrittenDown();
    const tokens = await family();

    const replays = await Promise.all(
      Array.from({ length: 20 }, (_, index) => refresh(index, tokens[index % (GENERATIONS - 1)] as Tokens)),
    );

    expect(replays.map(({ status }) => status)).toEqual(Array(20).fill(401));
    expect(await theftsWrittenDown()).toBe(before + 1);
    for (const instance of [0, 1]) {
      expect((await refresh(instance, tokens.at(-1) as Tokens)).status).toBe(401);
    }
  });
});
