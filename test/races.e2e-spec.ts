import { type Answer, startApp, type TestApp } from './support/app';
import { logIn, newcomer, sessionIdOf, statusWith, type TokensBody } from './support/people';
import { PROOF_TIMEOUT_MS, rounds } from './support/rounds';
import { TestFailpoints } from './support/test-failpoints';

/** Calls that refresh with one token at the same time. */
const RACERS = 100;

interface SessionRow {
  generation: number;
  revocation_reason: string | null;
}

describe('a hundred refreshes with one token, all of which have read its row before any writes', () => {
  const failpoints = new TestFailpoints();
  let app: TestApp;

  const refresh = (refreshToken: string): Promise<Answer<TokensBody>> =>
    app.call('POST', '/auth/refresh', { body: { refreshToken } });

  const race = (refreshToken: string): Promise<Answer<TokensBody>[]> => {
    failpoints.gather('rotate:row_read', RACERS);
    return app.clock.suspendedDuring(() =>
      Promise.all(Array.from({ length: RACERS }, () => refresh(refreshToken))),
    );
  };

  const newestSession = async (userId: string): Promise<SessionRow> => {
    const sql =
      'SELECT generation, revocation_reason FROM sessions WHERE user_id = ? ORDER BY id DESC LIMIT 1';
    const [session] = await app.rows<SessionRow>(sql, [userId]);
    return session as SessionRow;
  };

  describe('with a grace', () => {
    beforeAll(async () => (app = await startApp({ RATE_LIMITS: 'off' }, { failpoints })));
    afterAll(() => app.close());

    it(
      'are all answered, and all with the same successor, which is the only live token',
      async () => {
        const { id, ...person } = await newcomer(app);
        let { refreshToken } = person;

        for (let round = 1; round <= rounds(20, 1000); round += 1) {
          const answers = await race(refreshToken);

          expect(answers.map(({ status }) => status)).toEqual(Array(RACERS).fill(200));
          const successors = new Set(answers.map(({ body }) => body.refreshToken));
          expect(successors.size).toBe(1);
          expect(await newestSession(id)).toEqual({ generation: round, revocation_reason: null });
          [refreshToken] = [...successors] as [string];
        }
      },
      PROOF_TIMEOUT_MS,
    );

    it('do not bring back a generation when one of them writes after the session has moved on twice', async () => {
      const { id, refreshToken } = await newcomer(app);
      const late = failpoints.hold('rotate:row_read');
      const straggler = refresh(refreshToken);
      await late.reached;
      const second = await refresh(refreshToken);
      const third = await refresh(second.body.refreshToken);

      late.release();

      expect((await straggler).status).toBe(401);
      expect((await refresh(third.body.refreshToken)).status).toBe(401);
      expect(await newestSession(id)).toEqual({ generation: 2, revocation_reason: 'refresh_token_reused' });
    });
  });

  describe('a retry with its key, long after', () => {
    beforeAll(async () => (app = await startApp({ RATE_LIMITS: 'off' }, { failpoints })));
    afterAll(() => app.close());

    it('has no part in a session that was ended after it had read the row, and lets no token of it live longer', async () => {
      const { id, refreshToken, ...person } = await newcomer(app);
      const headers = { 'idempotency-key': 'a-key-of-this-very-refresh' };
      const attempt = () => app.call('POST', '/auth/refresh', { body: { refreshToken }, headers });
      expect((await attempt()).status).toBe(200);
      app.clock.advance(2 * 3600);
      const elsewhere = await logIn(app, person);
      const ends = () =>
        app.rows(
          'SELECT access_ends_at, revocation_reason FROM sessions WHERE user_id = ? ORDER BY created_at',
          [id],
        );
      const [before] = await ends();

      const late = failpoints.hold('rotate:row_read');
      const retry = attempt();
      await late.reached;
      const path = `/auth/sessions/${sessionIdOf(person)}`;
      expect((await app.call('DELETE', path, { token: elsewhere.token })).status).toBe(204);
      late.release();

      expect((await retry).status).toBe(401);
      const [after] = await ends();
      expect(after).toEqual({ ...before, revocation_reason: expect.stringMatching(/./) as string });
    });
  });

  describe('with REFRESH_GRACE=0', () => {
    beforeAll(async () => (app = await startApp({ REFRESH_GRACE: '0', RATE_LIMITS: 'off' }, { failpoints })));
    afterAll(() => app.close());

    it(
      'are answered once and refused 99 times, and the session is dead',
      async () => {
        const { id, ...person } = await newcomer(app);

        for (let round = 1; round <= rounds(20, 1000); round += 1) {
          const { refreshToken } = await logIn(app, person);
          const answers = await race(refreshToken);

          const granted = answers.filter(({ status }) => status === 200);
          expect(granted).toHaveLength(1);
          expect(answers.filter(({ status }) => status === 401)).toHaveLength(RACERS - 1);
          const [{ body }] = granted as [Answer<TokensBody>];
          expect((await refresh(body.refreshToken)).status).toBe(401);
          expect(await statusWith(app, body)).toBe(401);
          expect(await newestSession(id)).toEqual({
            generation: 1,
            revocation_reason: 'refresh_token_reused',
          });
          const events = await app.rows(
            "SELECT id FROM audit_events WHERE user_id = ? AND type = 'refresh_token_reused'",
            [id],
          );
          expect(events).toHaveLength(round);
        }
      },
      PROOF_TIMEOUT_MS,
    );
  });
});
