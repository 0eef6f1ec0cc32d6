import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, renameSync, statSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { KeyRing } from '../src/crypto/key-ring';
import { RefreshTokenFormat } from '../src/crypto/refresh-token-format';
import { type RefreshOutcome, SessionRotation } from '../src/sessions/session-rotation';
import { type Answer, MASTER_SECRET, newSecret, startApp, type TestApp } from './support/app';
import { holdConnections } from './support/connections';
import { onMysql } from './support/database';
import { createKey, eventTypes, logIn, newcomer, statusWith, type TokensBody } from './support/people';
import { TestFailpoints } from './support/test-failpoints';

const INVALID = { error: 'Invalid or expired refresh token' };

/** Only there does the secret lie beside the database. */
const describeOnSqlite = onMysql ? () => undefined : describe;

/** A client's key for one refresh and its retries. */
const KEY = 'one-refresh-and-its-retries';

describe('refresh', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ AUTH_SECRET: MASTER_SECRET })));
  afterAll(() => app.close());

  const refresh = (refreshToken: unknown, key?: string): Promise<Answer<TokensBody>> =>
    app.call('POST', '/auth/refresh', {
      body: { refreshToken },
      headers: key === undefined ? {} : { 'Idempotency-Key': key },
    });

  const sessionOf = async (userId: string) => {
    const [session] = await app.rows<{ generation: number; revocation_reason: string | null }>(
      'SELECT * FROM sessions WHERE user_id = ?',
      [userId],
    );
    return session;
  };

  it('exchanges a refresh token for a new pair of tokens', async () => {
    const person = await newcomer(app);

    const { status, body } = await refresh(person.refreshToken);

    expect(status).toBe(200);
    expect(body).toEqual({
      token: expect.any(String) as string,
      expires_in: 3600,
      refreshToken: expect.stringMatching(/^rt_[\w-]{92}$/) as string,
      refresh_expires_in: 2_592_000,
    });
    expect(body.refreshToken).not.toBe(person.refreshToken);
    expect(body.token).not.toBe(person.token);
    expect(await statusWith(app, body)).toBe(200);
    expect(await sessionOf(person.id)).toMatchObject({ generation: 1 });
  });

  it('lets a session go on from refresh to refresh', async () => {
    const person = await newcomer(app);
    let { refreshToken } = person;

    for (let round = 1; round <= 5; round += 1) {
      app.clock.advance(600);
      const { status, body } = await refresh(refreshToken);
      expect(status).toBe(200);
      refreshToken = body.refreshToken;
    }

    expect(await sessionOf(person.id)).toMatchObject({ generation: 5 });
  });

  it('answers a refresh repeated within the grace with the same successor', async () => {
    const { refreshToken } = await newcomer(app);
    const first = await refresh(refreshToken);
    app.clock.advance(10);

    const repeated = await refresh(refreshToken);

    expect(repeated.status).toBe(200);
    expect(repeated.body.refreshToken).toBe(first.body.refreshToken);
    expect(await statusWith(app, repeated.body)).toBe(200);
  });

  it('gives a hundred calls with one token the same successor', async () => {
    const { refreshToken, id } = await newcomer(app);

    const answers = await Promise.all(Array.from({ length: 100 }, () => refresh(refreshToken)));

    expect(answers.map(({ status }) => status)).toEqual(Array(100).fill(200));
    expect(new Set(answers.map(({ body }) => body.refreshToken)).size).toBe(1);
    expect(await sessionOf(id)).toMatchObject({ generation: 1 });
  });

  it('does not let the grace slide: repetitions do not prolong it', async () => {
    const { refreshToken, id } = await newcomer(app);
    await refresh(refreshToken);
    app.clock.advance(6);
    await refresh(refreshToken);
    app.clock.advance(5);

    const late = await refresh(refreshToken);

    expect([late.status, late.body]).toEqual([401, INVALID]);
    expect(await sessionOf(id)).toMatchObject({ revocation_reason: 'refresh_token_reused' });
  });

  it('takes a token used after the grace for stolen and ends the session', async () => {
    const person = await newcomer(app);
    const successor = await refresh(person.refreshToken);
    app.clock.advance(10.001);

    const { status, body, headers } = await refresh(person.refreshToken);

    expect([status, body]).toEqual([401, INVALID]);
    expect(headers.get('x-error-code')).toBe('refresh_token_invalid');
    expect((await refresh(successor.body.refreshToken)).status).toBe(401);
    expect(await statusWith(app, successor.body)).toBe(401);
    expect(await statusWith(app, person)).toBe(401);
    const events = await app.rows('SELECT type FROM audit_events WHERE user_id = ? ORDER BY id', [person.id]);
    expect(events).toEqual([
      { type: 'account_created' },
      { type: 'signed_in' },
      { type: 'refresh_token_reused' },
    ]);
  });

  it('takes the token before the last for stolen even within the grace', async () => {
    const { refreshToken, id } = await newcomer(app);
    const second = await refresh(refreshToken);
    const third = await refresh(second.body.refreshToken);

    const stale = await refresh(refreshToken);

    expect([stale.status, stale.body]).toEqual([401, INVALID]);
    expect((await refresh(third.body.refreshToken)).status).toBe(401);
    expect(await sessionOf(id)).toMatchObject({ generation: 2, revocation_reason: 'refresh_token_reused' });
  });

  it.each([
    ['the thief', undefined, KEY],
    ['the client', KEY, undefined],
  ])(
    'lets a thief within the grace share the one successor, and ends the session when %s comes with it too late',
    async (_, keyOfTheLate, keyOfTheFirst) => {
      const { refreshToken: stolen, id } = await newcomer(app);
      const [client, thief] = [await refresh(stolen, 'the-key-of-its-first-refresh'), await refresh(stolen)];
      const shared = client.body.refreshToken;
      const next = await refresh(shared, keyOfTheFirst);
      app.clock.advance(60);

      const late = await refresh(shared, keyOfTheLate);

      expect([thief.body.refreshToken, next.status, late.status]).toEqual([shared, 200, 401]);
      expect((await refresh(next.body.refreshToken)).status).toBe(401);
      expect(await sessionOf(id)).toMatchObject({ generation: 2, revocation_reason: 'refresh_token_reused' });
    },
  );

  it('writes one theft down once, however often the token is tried', async () => {
    const { refreshToken, id } = await newcomer(app);
    await refresh(refreshToken);
    app.clock.advance(60);

    await Promise.all(Array.from({ length: 20 }, () => refresh(refreshToken)));

    const events = await app.rows(
      "SELECT id FROM audit_events WHERE user_id = ? AND type = 'refresh_token_reused'",
      [id],
    );
    expect(events).toHaveLength(1);
  });

  it('ends only the session whose token was stolen', async () => {
    const person = await newcomer(app);
    const other = await logIn(app, person);
    await refresh(person.refreshToken);
    app.clock.advance(60);

    await refresh(person.refreshToken);

    expect(await statusWith(app, person)).toBe(401);
    expect(await statusWith(app, other)).toBe(200);
    expect((await refresh(other.refreshToken)).status).toBe(200);
  });

  describe('with an Idempotency-Key', () => {
    it('gives a retry the same successor however late', async () => {
      const { refreshToken } = await newcomer(app);
      const lost = await refresh(refreshToken, KEY);
      app.clock.advance(7200);

      const retry = await refresh(refreshToken, KEY);

      expect(retry.status).toBe(200);
      expect(retry.body.refreshToken).toBe(lost.body.refreshToken);
      expect(await statusWith(app, retry.body)).toBe(200);
    });

    it('remembers a logout until the access token of a late retry has expired', async () => {
      const { refreshToken, id } = await newcomer(app);
      await refresh(refreshToken, KEY);
      app.clock.advance(7200);
      const retry = await refresh(refreshToken, KEY);

      await app.call('POST', '/auth/logout', { token: retry.body.token });

      app.clock.advance(3599);
      await app.restart();
      expect(await statusWith(app, retry.body)).toBe(401);
      const sessions = await app.rows('SELECT revocation_reason AS reason FROM sessions WHERE user_id = ?', [
        id,
      ]);
      expect(sessions).toEqual([{ reason: 'logout' }]);
    });

    it('gives a tab with a key of its own the same successor within the grace; later only the first key counts', async () => {
      const [mine, other] = [await newcomer(app), await newcomer(app)];
      for (const { refreshToken } of [mine, other]) {
        const first = await refresh(refreshToken, KEY);
        const second = await refresh(refreshToken, 'the-key-of-another-tab');
        expect(second.body.refreshToken).toBe(first.body.refreshToken);
      }
      app.clock.advance(60);

      expect((await refresh(mine.refreshToken, KEY)).status).toBe(200);
      expect((await refresh(other.refreshToken, 'the-key-of-another-tab')).status).toBe(401);
    });

    it('takes a late retry with another key, or with none, for theft', async () => {
      for (const key of ['another-key-altogether', undefined]) {
        const { refreshToken, id } = await newcomer(app);
        await refresh(refreshToken, KEY);
        app.clock.advance(60);

        expect((await refresh(refreshToken, key)).status).toBe(401);

        expect(await sessionOf(id)).toMatchObject({ revocation_reason: 'refresh_token_reused' });
      }
    });

    it('takes a retry for theft once the successor has been used', async () => {
      const { refreshToken, id } = await newcomer(app);
      const { body } = await refresh(refreshToken, KEY);
      await refresh(body.refreshToken, 'the-key-of-the-next-one');

      expect((await refresh(refreshToken, KEY)).status).toBe(401);

      expect(await sessionOf(id)).toMatchObject({ revocation_reason: 'refresh_token_reused' });
    });

    it('does not accept the key of one rotation for the next', async () => {
      const { refreshToken } = await newcomer(app);
      const second = await refresh(refreshToken, KEY);
      await refresh(second.body.refreshToken);
      app.clock.advance(60);

      expect((await refresh(second.body.refreshToken, KEY)).status).toBe(401);
    });

    it.each([
      ['15 characters', 'x'.repeat(15)],
      ['129 characters', 'x'.repeat(129)],
      ['a blank inside', 'sixteen chars or more'],
    ])('refuses one of %s with 400, and nothing is lost', async (_, key) => {
      const { refreshToken } = await newcomer(app);

      const { status, body } = await refresh(refreshToken, key);

      expect(status).toBe(400);
      expect(body).toMatchObject({ details: [{ field: 'Idempotency-Key' }] });
      expect((await refresh(refreshToken)).status).toBe(200);
    });
  });

  describe('refuses', () => {
    it.each([
      ['nothing', ''],
      ['any text', 'not a refresh token'],
      ['only the prefix', 'rt_'],
      ['random bytes of the right length', `rt_${'A'.repeat(92)}`],
      ['a lone surrogate', '\ud800'],
      ['ten thousand characters', 'x'.repeat(10_000)],
    ])('%s with 401', async (_, text) => {
      const { status, body } = await refresh(text);

      expect([status, body]).toEqual([401, INVALID]);
    });

    it.each([
      ['no token', {}],
      ['null', { refreshToken: null }],
      ['a number', { refreshToken: 1 }],
      ['an object', { refreshToken: { a: 1 } }],
      ['an unknown field', { refreshToken: 'x', extra: 1 }],
    ])('%s with 400', async (_, body) => {
      expect((await app.call('POST', '/auth/refresh', { body })).status).toBe(400);
    });

    it('a token with any one character changed, and leaves the session alone', async () => {
      const { refreshToken, id } = await newcomer(app);

      for (let position = 3; position < refreshToken.length; position += 1) {
        const changed = refreshToken[position] === 'A' ? 'B' : 'A';
        const forged = refreshToken.slice(0, position) + changed + refreshToken.slice(position + 1);
        expect((await refresh(forged)).status).toBe(401);
      }

      expect(await sessionOf(id)).toMatchObject({ generation: 0, revocation_reason: null });
    });

    it.each([
      ['padding', (token: string) => `${token}==`],
      ['a blank', (token: string) => ` ${token}`],
      ['a line break', (token: string) => `${token}\n`],
      [
        'another alphabet',
        (token: string) => token.replaceAll('-', '+').replaceAll('_', '/').replace('rt/', 'rt_') + '+',
      ],
    ])('another spelling of a good token: %s', async (_, spell) => {
      const { refreshToken } = await newcomer(app);

      expect((await refresh(spell(refreshToken))).status).toBe(401);

      expect((await refresh(refreshToken)).status).toBe(200);
    });

    it('an access token', async () => {
      const { token } = await newcomer(app);

      expect((await refresh(token)).status).toBe(401);
    });

    it('a token signed by another secret', async () => {
      const { refreshToken } = await newcomer(app);
      const bytes = Buffer.from(refreshToken.slice(3), 'base64url');
      createHmac('sha256', 'another secret')
        .update(bytes.subarray(0, -32))
        .digest()
        .copy(bytes, bytes.length - 32);

      expect((await refresh(`rt_${bytes.toString('base64url')}`)).status).toBe(401);
    });

    it('a token made by who has the master secret but not the nonce, and leaves the session alone', async () => {
      const { id } = await newcomer(app);
      const [session] = await app.rows<{ id: string }>('SELECT id FROM sessions WHERE user_id = ?', [id]);
      const { refreshToken: keys } = new KeyRing({ master: MASTER_SECRET, previous: [] });
      const forged = new RefreshTokenFormat(keys).encode({
        sessionId: session?.id ?? '',
        generation: 0,
        nonce: Buffer.alloc(16),
      });

      expect((await refresh(forged)).status).toBe(401);

      expect(await sessionOf(id)).toMatchObject({ generation: 0, revocation_reason: null });
    });

    it('a token newer than the database, as after a restored backup, and leaves the session alone', async () => {
      const { refreshToken, id } = await newcomer(app);
      const newer = await refresh(refreshToken);
      await app.inDatabase((tx) => tx.query('UPDATE sessions SET generation = 0 WHERE user_id = ?', [id]));

      expect((await refresh(newer.body.refreshToken)).status).toBe(401);

      expect(await sessionOf(id)).toMatchObject({ generation: 0, revocation_reason: null });
    });

    it('a token whose session has been deleted', async () => {
      const { refreshToken, id } = await newcomer(app);
      await app.inDatabase((tx) => tx.query('DELETE FROM sessions WHERE user_id = ?', [id]));

      expect((await refresh(refreshToken)).status).toBe(401);
    });
  });

  it('refuses a forged or malformed token without asking the database', async () => {
    const { refreshToken } = await newcomer(app);
    const forged = refreshToken.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    // Made unusable for the session table alone, so that any statement on it would show.
    await app.inDatabase((tx) => tx.query('ALTER TABLE sessions RENAME TO sessions_hidden'));
    try {
      expect((await refresh(forged)).status).toBe(401);
      expect((await refresh('not a refresh token')).status).toBe(401);
      expect((await refresh(refreshToken)).status).toBe(503);
    } finally {
      await app.inDatabase((tx) => tx.query('ALTER TABLE sessions_hidden RENAME TO sessions'));
    }
  });
});

describe('a refresh that has to wait for the database', () => {
  let app: TestApp;
  let other: TestApp;
  const failpoints = new TestFailpoints();
  beforeAll(async () => {
    app = await startApp({}, { failpoints });
    other = await startApp({}, { database: app.database });
  });
  afterEach(() => failpoints.set(undefined));
  afterAll(async () => {
    await other.nest.close();
    await app.close();
  });

  const refreshAt = (instance: TestApp, refreshToken: string) =>
    instance.call<TokensBody>('POST', '/auth/refresh', { body: { refreshToken } });

  it('can be repeated for as long as if it had not', async () => {
    const { refreshToken } = await newcomer(app);
    const held = failpoints.hold('rotate:row_read');
    const waiting = refreshAt(app, refreshToken);
    await held.reached;
    const letGo = await holdConnections(app);
    held.release();
    // It has come to where it waits.
    await setImmediate();
    app.clock.advance(11);
    await letGo();

    const [first, repeated] = [await waiting, await refreshAt(app, refreshToken)];

    expect([first.status, repeated.status]).toEqual([200, 200]);
    expect(repeated.body.refreshToken).toBe(first.body.refreshToken);
  });

  it('is judged by when it came, however long it waits for the database', async () => {
    const { refreshToken } = await newcomer(app);
    const first = await refreshAt(app, refreshToken);
    app.clock.advance(9);
    const letGo = await holdConnections(app);
    const rotation = jest.spyOn(app.nest.get(SessionRotation), 'rotate');
    const waiting = refreshAt(app, refreshToken);
    while (rotation.mock.calls.length === 0) await setImmediate();
    rotation.mockRestore();
    app.clock.advance(2);
    await letGo();

    const repeated = await waiting;

    expect([first.status, repeated.status]).toEqual([200, 200]);
    expect(repeated.body.refreshToken).toBe(first.body.refreshToken);
    expect((await refreshAt(app, first.body.refreshToken)).status).toBe(200);
  });

  it.each([
    [true, 200],
    [false, 401],
  ])(
    'ends the session when its token is older by then, unless its client has hung up: %s',
    async (hangsUp, status) => {
      const { refreshToken, id } = await newcomer(app);
      const { body: first } = await refreshAt(app, refreshToken);
      const rotation = jest.spyOn(app.nest.get(SessionRotation), 'rotate');
      const held = failpoints.hold('rotate:row_read');
      const client = new AbortController();
      const answering = once(app.nest.getHttpServer(), 'request') as Promise<[unknown, ServerResponse]>;
      const asked = fetch(`${app.url}/api/v1/auth/refresh`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
        ...{ body: JSON.stringify({ refreshToken }), signal: client.signal },
      }).catch((error: Error) => error.name);
      const [[, response]] = await Promise.all([answering, held.reached]);
      if (hangsUp) {
        const left = once(response, 'close');
        client.abort();
        await left;
      }
      const successor = await refreshAt(other, first.refreshToken);
      app.clock.advance(11);

      held.release();
      await asked;
      const { kind } = (await rotation.mock.results[0]?.value) as RefreshOutcome;

      rotation.mockRestore();
      expect([successor.status, kind]).toEqual([200, hangsUp ? 'refused' : 'reused']);
      expect((await refreshAt(other, successor.body.refreshToken)).status).toBe(status);
      const thefts = "SELECT type FROM audit_events WHERE user_id = ? AND type = 'refresh_token_reused'";
      expect(await app.rows(thefts, [id])).toHaveLength(hangsUp ? 0 : 1);
    },
  );
});

describe('lifetimes of a session', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp({ ACCESS_TOKEN_TTL: '60', REFRESH_TOKEN_TTL: '300', SESSION_MAX_AGE: '1000' });
  });
  afterAll(() => app.close());

  const refresh = (refreshToken: string): Promise<Answer<TokensBody>> =>
    app.call('POST', '/auth/refresh', { body: { refreshToken } });

  it('ends when it has been idle for as long as allowed, to the second', async () => {
    const [early, late] = [await newcomer(app), await newcomer(app)];

    app.clock.advance(299);
    expect((await refresh(early.refreshToken)).status).toBe(200);
    app.clock.advance(1);

    expect((await refresh(late.refreshToken)).status).toBe(401);
  });

  it('ends at its absolute end however busy, and no token outlives it', async () => {
    const person = await newcomer(app);
    let { refreshToken } = person;
    for (let seconds = 200; seconds < 1000; seconds += 200) {
      app.clock.advance(200);
      refreshToken = (await refresh(refreshToken)).body.refreshToken;
    }
    app.clock.advance(190);

    const last = await refresh(refreshToken);

    expect(last.body).toMatchObject({ expires_in: 10, refresh_expires_in: 10 });
    app.clock.advance(9);
    const beforeTheEnd = await refresh(last.body.refreshToken);
    expect(beforeTheEnd.status).toBe(200);
    expect(await statusWith(app, beforeTheEnd.body)).toBe(200);
    app.clock.advance(1);
    expect((await refresh(beforeTheEnd.body.refreshToken)).status).toBe(401);
    expect(await statusWith(app, beforeTheEnd.body)).toBe(401);
  });

  it('gives an expired access token its own code, so that a client knows to refresh', async () => {
    const { token, refreshToken } = await newcomer(app);
    app.clock.advance(60);

    const { status, body, headers } = await app.call('GET', '/users/me', { token });

    expect([status, body]).toEqual([401, { error: 'Authentication required' }]);
    expect(headers.get('x-error-code')).toBe('token_expired');
    expect((await refresh(refreshToken)).status).toBe(200);
  });
});

describe('refresh with REFRESH_GRACE=0', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ REFRESH_GRACE: '0' })));
  afterAll(() => app.close());

  it.each([
    ['with no key', {}],
    ['with its key', { 'Idempotency-Key': KEY }],
  ])(
    'accepts a token once, %s: of twenty calls one succeeds, and the session is dead',
    async (_, headers) => {
      const { refreshToken, token } = await newcomer(app);

      const answers = await Promise.all(
        Array.from({ length: 20 }, () =>
          app.call<TokensBody>('POST', '/auth/refresh', { body: { refreshToken }, headers }),
        ),
      );

      const granted = answers.filter(({ status }) => status === 200);
      expect(granted).toHaveLength(1);
      expect(answers.filter(({ status }) => status === 401)).toHaveLength(19);
      const successor = granted[0]?.body.refreshToken;
      expect((await app.call('POST', '/auth/refresh', { body: { refreshToken: successor } })).status).toBe(
        401,
      );
      expect(await statusWith(app, { token })).toBe(401);
    },
  );
});

describe('refresh with a REFRESH_GRACE that is longer than any token lives', () => {
  let app: TestApp;
  const settings = { REFRESH_GRACE: '86400', ACCESS_TOKEN_TTL: '60', REFRESH_TOKEN_TTL: '600' };
  beforeAll(async () => (app = await startApp(settings)));
  afterAll(() => app.close());

  it('may be repeated for as long as the session lives, with a fresh access token each time, and no longer', async () => {
    const { id, refreshToken } = await newcomer(app);
    const repeat = () => app.call<TokensBody>('POST', '/auth/refresh', { body: { refreshToken } });
    const first = await repeat();
    app.clock.advance(500);

    const second = await repeat();
    const [old, fresh] = [await statusWith(app, first.body), await statusWith(app, second.body)];
    app.clock.advance(601);
    const third = await repeat();

    expect([first.status, second.status, old, fresh]).toEqual([200, 200, 401, 200]);
    expect(second.body.refreshToken).toBe(first.body.refreshToken);
    expect([third.status, third.headers.get('x-error-code')]).toEqual([401, 'refresh_token_invalid']);
    expect(await eventTypes(app, id)).not.toContain('refresh_token_reused');
  });

  it('leaves nothing open when the session is ended: every token that a repetition may have got is refused', async () => {
    const { refreshToken } = await newcomer(app);
    const repeat = () => app.call<TokensBody>('POST', '/auth/refresh', { body: { refreshToken } });
    const tokens = [await repeat(), await repeat()].map(({ body }) => body);

    expect((await app.call('POST', '/auth/logout', { token: tokens[0]?.token ?? '' })).status).toBe(200);

    for (const each of tokens) expect(await statusWith(app, each)).toBe(401);
    expect((await repeat()).status).toBe(401);
  });
});

describe('changing AUTH_SECRET', () => {
  let app: TestApp;
  beforeEach(async () => (app = await startApp({ AUTH_SECRET: MASTER_SECRET })));
  afterEach(() => app.close());

  it('twice keeps every session too, while both old secrets are listed as previous ones, in either order', async () => {
    const [second, third] = [newSecret(), newSecret()];
    const [one, other] = [await newcomer(app), await newcomer(app)];
    const { apiKey } = await createKey(app, one.token);

    for (const [{ token, refreshToken }, ...previous] of [
      [one, MASTER_SECRET, second] as const,
      [other, second, MASTER_SECRET] as const,
    ]) {
      await app.restart({ AUTH_SECRET: third, AUTH_SECRET_PREVIOUS: previous.join(',') });
      expect([await statusWith(app, { token }), await statusWith(app, { key: apiKey })]).toEqual([200, 200]);
      const renewed = await app.call<TokensBody>('POST', '/auth/refresh', { body: { refreshToken } });
      expect(renewed.status).toBe(200);
      await app.restart({ AUTH_SECRET: third, AUTH_SECRET_PREVIOUS: second });
      expect([await statusWith(app, { token }), await statusWith(app, renewed.body)]).toEqual([401, 200]);
    }
  });

  it('keeps every session while the old secret is listed as a previous one, and none afterwards', async () => {
    const next = newSecret();
    const { token, refreshToken } = await newcomer(app);

    await app.restart({ AUTH_SECRET: next, AUTH_SECRET_PREVIOUS: MASTER_SECRET });
    expect(await statusWith(app, { token })).toBe(200);
    const renewed = await app.call<TokensBody>('POST', '/auth/refresh', { body: { refreshToken } });
    expect(renewed.status).toBe(200);

    await app.restart({ AUTH_SECRET: next });
    expect(await statusWith(app, { token })).toBe(401);
    expect(await statusWith(app, renewed.body)).toBe(200);
    const again = { refreshToken: renewed.body.refreshToken };
    expect((await app.call('POST', '/auth/refresh', { body: again })).status).toBe(200);
  });
});

describeOnSqlite('changing the secret that lies beside the database', () => {
  it('takes moving its file away: the next start makes another, and the old one verifies where it is named', async () => {
    const app = await startApp();
    const file = app.config.secretFile as string;
    const previous = `${file}-previous`;
    const { token, refreshToken } = await newcomer(app);

    renameSync(file, previous);
    await app.restart({ AUTH_SECRET_PREVIOUS_FILE: previous });

    expect(readFileSync(file, 'utf8')).not.toBe(readFileSync(previous, 'utf8'));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await statusWith(app, { token })).toBe(200);
    expect((await app.call('POST', '/auth/refresh', { body: { refreshToken } })).status).toBe(200);
    await app.close();
  });
});

describe('changing JWT_SECRET', () => {
  it('makes access tokens void and no session: clients refresh once', async () => {
    const app = await startApp({ AUTH_SECRET: MASTER_SECRET, JWT_SECRET: newSecret() });
    const { token, refreshToken } = await newcomer(app);

    await app.restart({ AUTH_SECRET: MASTER_SECRET, JWT_SECRET: newSecret() });
    const refused = await app.call('GET', '/users/me', { token });
    const renewed = await app.call<TokensBody>('POST', '/auth/refresh', { body: { refreshToken } });

    expect([refused.status, refused.headers.get('x-error-code')]).toEqual([401, 'token_invalid']);
    expect(renewed.status).toBe(200);
    expect(await statusWith(app, renewed.body)).toBe(200);
    await app.close();
  });
});
