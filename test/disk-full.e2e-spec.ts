import { startApp, type TestApp } from './support/app';
import { betweenTransactions, connectionOf, fillUp } from './support/outages';
import { createKey, newcomer } from './support/people';
import { faultRounds } from './support/thoroughness';

const ROUNDS = faultRounds(2, 20);

const PASSWORD = 'a password for the last page';

/** People who sign up until there is no room, each as often as it takes. */
const CROWD = 4;

describe('a disk that is full', () => {
  let app: TestApp;
  let count = 0;
  beforeAll(async () => (app = await startApp({ RATE_LIMITS: 'off' })));
  afterAll(() => app.close());

  const pragma = (text: string): Record<string, unknown> =>
    connectionOf(app).pragma(text)[0] as Record<string, unknown>;
  const leaveRoomFor = (pages: number) =>
    pragma(`max_page_count = ${Number(pragma('page_count')['page_count']) + pages}`);
  const clearTheDisk = () => {
    pragma('max_page_count = 1000000');
    connectionOf(app).exec("DELETE FROM audit_events WHERE type = 'filler'");
  };

  const signUp = async (username: string): Promise<number> => {
    const body = { username, email: `${username}@example.com`, password: PASSWORD };
    return (await app.call('POST', '/users', { body })).status;
  };
  const logIn = (username: string) =>
    app.call<{ refreshToken: string }>('POST', '/auth/login', { body: { username, password: PASSWORD } });
  const verify = async (credential: { token: string } | { key: string }): Promise<number> =>
    (await app.call('GET', '/auth/verify', credential)).status;

  /** Signs people up until one finds no room; answers who was told that he has an account, and who that he has none. */
  const comeUntilRefused = async (): Promise<{ accepted: string[]; refused: string[] }> => {
    const [accepted, refused]: [string[], string[]] = [[], []];
    const comer = async (): Promise<void> => {
      while (refused.length === 0) {
        const username = `last-${(count += 1)}`;
        const status = await signUp(username);
        if (status === 201) accepted.push(username);
        else if (status === 503) refused.push(username);
        else throw new Error(`A sign-up was answered ${status}`);
      }
    };
    await Promise.all(Array.from({ length: CROWD }, comer));
    return { accepted, refused };
  };

  /** One write of each kind by somebody who may. */
  const writes = async ({ token, refreshToken }: { token: string; refreshToken: string }) =>
    Promise.all([
      signUp(`nobody-${(count += 1)}`),
      app.call('POST', '/auth/keys', { token, body: {} }).then(({ status }) => status),
      app
        .call('POST', '/auth/refresh', {
          body: { refreshToken },
          headers: { 'Idempotency-Key': 'the-key-of-this-refresh' },
        })
        .then(({ status }) => status),
    ]);

  it(
    'refuses what would be written and nothing else, loses nothing, and is got over without a restart',
    async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const person = await newcomer(app);
        const { apiKey } = await createKey(app, person.token);
        leaveRoomFor(2);

        const { accepted, refused } = await comeUntilRefused();
        await betweenTransactions(app, () => fillUp(connectionOf(app)));
        const refusals = await writes(person);
        const verified = [await verify(person), await verify({ key: apiKey })];
        // What this instance knows of revocations is too old now: the database is asked.
        app.clock.push(1);
        verified.push(await verify(person), await verify({ key: apiKey }));
        clearTheDisk();

        // A refresh changes a row where it stands, which a page may have room for.
        expect(refusals.slice(0, 2)).toEqual([503, 503]);
        expect([200, 503]).toContain(refusals[2]);
        expect(verified).toEqual([200, 200, 200, 200]);
        expect(await app.rows('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
        for (const username of accepted) expect((await logIn(username)).status).toBe(200);
        for (const username of refused) expect(await signUp(username)).toBe(201);
        expect(await writes(person)).toEqual([201, 201, 200]);
      }
    },
    30_000 + ROUNDS * 10_000,
  );
});
