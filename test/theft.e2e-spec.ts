import { bearer, TwoInstances } from './support/instances';
import { PROOF_TIMEOUT_MS, rounds } from './support/rounds';

/** What every other instance may take to learn of a revocation. */
const BOUND_MS = 1000;

/** How often the tokens of the session are replaced before one of them is replayed. */
const GENERATIONS = 4;

interface Tokens {
  token: string;
  refreshToken: string;
}

describe('a refresh token replayed at one of two instances', () => {
  let instances: TwoInstances;
  beforeAll(async () => (instances = await TwoInstances.start({ RATE_LIMITS: 'off' })));
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
        // Every generation in its turn but the newest, which is live, and the one before, whose replay is innocent.
        const replayed = tokens[round % (GENERATIONS - 1)] as Tokens;
        for (const each of tokens)
          expect([await opens(here, each), await opens(there, each)]).toEqual([200, 200]);

        expect((await refresh(here, replayed)).status).toBe(401);

        const deadline = performance.now() + BOUND_MS;
        for (const each of tokens) expect(await opens(here, each)).toBe(401);
        for (const each of tokens) {
          // The database knows: no instance waits to be told.
          expect([(await refresh(there, each)).status, (await refresh(here, each)).status]).toEqual([
            401, 401,
          ]);
        }
        while ((await opens(there, tokens[0])) !== 401) expect(performance.now()).toBeLessThan(deadline);
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
