import { SessionUsage } from '../src/sessions/session-usage';
import { SessionsService } from '../src/sessions/sessions.service';
import { startApp, type TestApp } from './support/app';
import { writeLastUses } from './support/last-uses';
import { statementsDuring } from './support/statements';
import { hastening } from './support/hastening';
import {
  createKey,
  logIn,
  newcomer,
  type Person,
  sessionIdOf,
  statusWith,
  type TokensBody,
} from './support/people';

interface ListedSession {
  sessionId: string;
  createdAt: string;
  lastUsed: string;
  expiresAt: string;
  ip: string;
  userAgent: string | null;
  current: boolean;
}

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0';

describe('the sessions of an account', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const list = async (token: string): Promise<ListedSession[]> =>
    (await app.call<ListedSession[]>('GET', '/auth/sessions', { token })).body;
  const refresh = (refreshToken: string) =>
    app.call<TokensBody>('POST', '/auth/refresh', { body: { refreshToken } });
  const end = (token: string, sessionId: string) =>
    app.call('DELETE', `/auth/sessions/${sessionId}`, { token });
  const eventsOf = (userId: string) =>
    app.rows('SELECT type, credential_id FROM audit_events WHERE user_id = ? ORDER BY id', [userId]);

  describe('listed', () => {
    it('tell device, address, times, and which one is current', async () => {
      const person = await newcomer(app);
      const tokens = await logIn(app, person, { 'user-agent': FIREFOX });

      const sessions = await list(tokens.token);

      expect(sessions).toHaveLength(2);
      expect(sessions[0]).toEqual({
        sessionId: sessionIdOf(tokens),
        createdAt: '2026-03-14T09:26:53Z',
        lastUsed: '2026-03-14T09:26:53Z',
        expiresAt: '2026-04-13T09:26:53Z',
        ip: '127.0.0.1',
        userAgent: 'Firefox on Linux',
        current: true,
      });
      expect(sessions[1]).toMatchObject({
        sessionId: sessionIdOf(person),
        userAgent: 'node',
        current: false,
      });
    });

    it('come with the last used one first, whether it was refreshed or called with', async () => {
      const person = await newcomer(app);
      const [refreshed, called] = [await logIn(app, person), await logIn(app, person)];
      app.clock.advance(60);
      await refresh(refreshed.refreshToken);
      app.clock.advance(60);
      await statusWith(app, called);
      await writeLastUses(app, SessionUsage);

      const sessions = await list(called.token);

      expect(sessions.map(({ sessionId }) => sessionId)).toEqual(
        [called, refreshed, person].map(sessionIdOf),
      );
      const [first, second, third] = sessions.map(({ lastUsed }) => Date.parse(lastUsed));
      expect((first ?? 0) - (second ?? 0)).toBe(60_000);
      expect((second ?? 0) - (third ?? 0)).toBe(60_000);
    });

    it('do not show those that have ended, nor those of others', async () => {
      const person = await newcomer(app);
      const ended = await logIn(app, person);
      await newcomer(app);
      await app.call('POST', '/auth/logout', { token: ended.token });

      expect((await list(person.token)).map(({ sessionId }) => sessionId)).toEqual([sessionIdOf(person)]);
    });

    it('do not show those that ended by themselves', async () => {
      const person = await newcomer(app);
      app.clock.advance(2_592_000);
      const later = await logIn(app, person);

      expect((await list(later.token)).map(({ sessionId }) => sessionId)).toEqual([sessionIdOf(later)]);
    });

    it('show a use by themselves after four seconds, and so do keys and their secrets', async () => {
      let person: Person | undefined;
      const written = async () => {
        const sql = `SELECT COUNT(*) AS n FROM sessions s
           JOIN api_keys k ON k.user_id = s.user_id JOIN api_key_secrets o ON o.key_id = k.id
           WHERE s.user_id = ?
             AND s.last_used_at IS NOT NULL AND k.last_used_at IS NOT NULL AND o.last_used_at IS NOT NULL`;
        const [row] = await app.rows<{ n: number }>(sql, [person?.id]);
        return Number(row?.n);
      };

      await hastening(
        4_000,
        async () => {
          await app.restart();
          const { token, ...rest } = await newcomer(app);
          person = rest;
          await statusWith(app, { key: (await createKey(app, token)).apiKey });
        },
        async () => (await written()) === 1,
      );

      expect(await written()).toBe(1);
    });

    it('show a use that a clean stop cut short', async () => {
      const person = await newcomer(app);
      app.clock.advance(600);
      expect(await statusWith(app, person)).toBe(200);

      await app.restart();

      const [session] = await list(person.token);
      expect(session?.lastUsed).toBe(`${app.clock.now().toISOString().slice(0, 19)}Z`);
    });

    it('never go back in time: of two instances that write late, the later use wins', async () => {
      const person = await newcomer(app);
      const usage = app.nest.get(SessionUsage);
      app.clock.advance(600);
      usage.note(sessionIdOf(person));
      await usage.flush();
      app.clock.advance(-300);
      usage.note(sessionIdOf(person));
      await usage.flush();
      app.clock.advance(300);

      const [session] = await list(person.token);

      expect(session?.lastUsed).toBe(`${app.clock.now().toISOString().slice(0, 19)}Z`);
    });
  });

  describe('one of them, ended', () => {
    it('is over at once, and the others go on', async () => {
      const person = await newcomer(app);
      const lost = await logIn(app, person);

      const { status } = await end(person.token, sessionIdOf(lost));

      expect(status).toBe(204);
      expect(await statusWith(app, lost)).toBe(401);
      expect((await refresh(lost.refreshToken)).status).toBe(401);
      expect(await statusWith(app, person)).toBe(200);
      expect((await eventsOf(person.id)).at(-1)).toEqual({
        type: 'session_ended',
        credential_id: sessionIdOf(lost),
      });
      const [row] = await app.rows('SELECT revocation_reason FROM sessions WHERE id = ?', [
        sessionIdOf(lost),
      ]);
      expect(row).toEqual({ revocation_reason: 'ended_by_owner' });
    });

    it('may be the current one', async () => {
      const person = await newcomer(app);

      expect((await end(person.token, sessionIdOf(person))).status).toBe(204);

      expect(await statusWith(app, person)).toBe(401);
    });

    it.each([
      ['an id that nobody has', () => 'sess_01k9v3czk4e1jb7p0s8r5hq2wf'],
      ['any other text', () => 'x'],
      ['an id of another kind', () => 'key_01k9v3czk4e1jb7p0s8r5hq2wf'],
    ])('is 404 for %s', async (_, id) => {
      const { token } = await newcomer(app);

      const { status, body } = await end(token, id());

      expect([status, body]).toEqual([404, { error: 'Session not found' }]);
    });

    it('is 404 where somebody else was faster, and told to all instances once more', async () => {
      const person = await newcomer(app);
      const other = await logIn(app, person);
      const sessions = app.nest.get(SessionsService);
      const revoke = sessions.revoke.bind(sessions);
      // Between the look at the session and its end.
      jest.spyOn(sessions, 'revoke').mockImplementationOnce(async (tx, id, reason) => {
        await tx.update('Session', { id }, { revokedAt: app.clock.now(), revocationReason: 'logout' });
        return revoke(tx, id, reason);
      });

      const { status } = await end(person.token, sessionIdOf(other));

      expect([status, await statusWith(app, other)]).toEqual([404, 401]);
      const line = 'SELECT subject_id FROM revocation_entries WHERE subject_id = ?';
      expect(await app.rows(line, [sessionIdOf(other)])).toHaveLength(1);
    });

    it('is 404 by its id with blanks behind it, and goes on', async () => {
      const person = await newcomer(app);

      for (const blanks of ['%20', '%20'.repeat(12), '%09']) {
        const path = `/auth/sessions/${sessionIdOf(person)}${blanks}`;
        const { status, body } = await app.call('DELETE', path, { token: person.token });
        expect([status, body]).toEqual([404, { error: 'Session not found' }]);
      }

      expect(await statusWith(app, person)).toBe(200);
    });

    it('takes nothing of the account, in whose line others sign in, for a session that is not there or has ended', async () => {
      const person = await newcomer(app);
      const other = await logIn(app, person);
      expect((await end(person.token, sessionIdOf(other))).status).toBe(204);
      const statuses: number[] = [];

      const sent = await statementsDuring(app, async () => {
        for (const id of ['x', sessionIdOf(other)]) statuses.push((await end(person.token, id)).status);
        const others = await app.call('DELETE', '/auth/sessions?keep=current', { token: person.token });
        statuses.push(others.status);
      });

      expect(statuses).toEqual([404, 404, 204]);
      expect(sent.filter(({ sql }) => sql.startsWith('UPDATE users'))).toEqual([]);
    });

    it("is 404 for somebody else's, which lives on", async () => {
      const [person, stranger] = [await newcomer(app), await newcomer(app)];

      const { status, body, headers } = await end(person.token, sessionIdOf(stranger));

      expect([status, body]).toEqual([404, { error: 'Session not found' }]);
      expect(headers.get('x-error-code')).toBe('session_not_found');
      expect(await statusWith(app, stranger)).toBe(200);
    });

    it('is 404 the second time, and when it had ended by itself', async () => {
      const person = await newcomer(app);
      const other = await logIn(app, person);
      await end(person.token, sessionIdOf(other));

      expect((await end(person.token, sessionIdOf(other))).status).toBe(404);

      app.clock.advance(2_592_000);
      const later = await logIn(app, person);
      expect((await end(later.token, sessionIdOf(person))).status).toBe(404);
    });

    it('is ended once by many calls at once, and told of once', async () => {
      const person = await newcomer(app);
      const other = await logIn(app, person);

      const answers = await Promise.all(
        Array.from({ length: 10 }, () => end(person.token, sessionIdOf(other))),
      );

      expect(answers.map(({ status }) => status).sort()).toEqual([204, ...Array<number>(9).fill(404)]);
      const events = await eventsOf(person.id);
      expect(events.filter(({ type }) => type === 'session_ended')).toHaveLength(1);
    });
  });

  describe('all of them, ended', () => {
    it('include the current one; keys go on', async () => {
      const person = await newcomer(app);
      const other = await logIn(app, person);
      const { apiKey } = await createKey(app, person.token);

      const { status } = await app.call('DELETE', '/auth/sessions', { token: person.token });

      expect(status).toBe(204);
      for (const tokens of [person, other]) {
        expect(await statusWith(app, tokens)).toBe(401);
        expect((await refresh(tokens.refreshToken)).status).toBe(401);
      }
      expect(await statusWith(app, { key: apiKey })).toBe(200);
      expect((await eventsOf(person.id)).at(-1)).toEqual({
        type: 'sessions_ended',
        credential_id: sessionIdOf(person),
      });
    });

    it('spare the current one with keep=current, and those of other accounts', async () => {
      const [person, stranger] = [await newcomer(app), await newcomer(app)];
      const others = [await logIn(app, person), await logIn(app, person)];

      const { status } = await app.call('DELETE', '/auth/sessions?keep=current', { token: person.token });

      expect(status).toBe(204);
      for (const other of others) expect(await statusWith(app, other)).toBe(401);
      expect(await statusWith(app, person)).toBe(200);
      expect((await refresh(person.refreshToken)).status).toBe(200);
      expect(await statusWith(app, stranger)).toBe(200);
    });

    it('leave one event, and none when there was none to end, however often that is asked for', async () => {
      const person = await newcomer(app);
      await logIn(app, person);

      for (let time = 0; time < 20; time += 1) {
        await app.call('DELETE', '/auth/sessions?keep=current', { token: person.token });
      }

      const events = await eventsOf(person.id);
      expect(events.filter(({ type }) => type === 'sessions_ended')).toHaveLength(1);
    });

    it.each([
      ['?keep=all', 'keep'],
      ['?keep=', 'keep'],
      ['?keep=current&keep=current', 'keep'],
      ['?kept=current', 'kept'],
    ])('are refused with 400 for %s, and nothing ends', async (query, field) => {
      const person = await newcomer(app);
      const other = await logIn(app, person);

      const { status, body } = await app.call('DELETE', `/auth/sessions${query}`, { token: person.token });

      expect(status).toBe(400);
      expect(body).toMatchObject({ details: [{ field }] });
      expect([await statusWith(app, person), await statusWith(app, other)]).toEqual([200, 200]);
    });
  });

  it.each([
    ['GET', '/auth/sessions'],
    ['DELETE', '/auth/sessions'],
    ['DELETE', '/auth/sessions/sess_01k9v3czk4e1jb7p0s8r5hq2wf'],
  ])('are no business of an API key: %s %s', async (method, path) => {
    const { token } = await newcomer(app);
    const { apiKey } = await createKey(app, token, { scopes: ['users:read'] });

    expect((await app.call(method, path, { key: apiKey })).status).toBe(403);
    expect((await app.call(method, path)).status).toBe(401);
  });
});
