import { startApp, type TestApp } from './support/app';
import { betweenTransactions, connectionOf, fillUp } from './support/outages';
import { createKey, type LoginBody, newcomer, type Person } from './support/people';
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

  /** One write of each kind by somebody who may: statuses by what was asked for. */
  const writes = async (person: Person & LoginBody): Promise<Record<string, number>> => {
    const { token, username, password } = person;
    const change = { currentPassword: password, newPassword: 'seven copper lanterns' };
    const refreshToken = { refreshToken: person.refreshToken };
    const asked: Record<string, Promise<{ status: number }>> = {
      refresh: app.call('POST', '/auth/refresh', {
        body: refreshToken,
        headers: { 'Idempotency-Key': 'the-key-of-this-refresh' },
      }),
      login: app.call('POST', '/auth/login', { body: { username, password } }),
      'new key': app.call('POST', '/auth/keys', { token, body: {} }),
    };
    const statuses: Record<string, number> = { 'sign-up': await signUp(`nobody-${(count += 1)}`) };
    for (const [name, answer] of Object.entries(asked)) statuses[name] = (await answer).status;
    // These would get in the way of the others.
    statuses['profile'] = (
      await app.call('PATCH', '/users/me', { token, body: { email: `${username}@example.org` } })
    ).status;
    statuses['password'] = (await app.call('POST', '/users/me/password', { token, body: change })).status;
    statuses['logout'] = (await app.call('POST', '/auth/logout', { token })).status;
    return statuses;
  };

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

        // A refresh changes a row where it stands, which a page may have room for. All else leaves an event.
        const { refresh, ...others } = refusals;
        expect([200, 503]).toContain(refresh);
        expect(others).toEqual({
          ...{ 'sign-up': 503, login: 503, 'new key': 503 },
          ...{ profile: 503, password: 503, logout: 503 },
        });
        expect(verified).toEqual([200, 200, 200, 200]);
        expect(await app.rows('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
        for (const username of accepted) expect((await logIn(username)).status).toBe(200);
        for (const username of refused) expect(await signUp(username)).toBe(201);
        expect(await writes(person)).toEqual({
          ...{ 'sign-up': 201, refresh: 200, login: 200, 'new key': 201 },
          ...{ profile: 200, password: 204, logout: 200 },
        });
      }
    },
    30_000 + ROUNDS * 10_000,
  );
});
