import { KeyUsage } from '../src/api-keys/key-usage';
import { formatInstant } from '../src/core/instant';
import { startApp, type TestApp } from './support/app';
import { writeLastUses } from './support/last-uses';
import { createKey, type CreatedKeyBody, listKeys, logIn, newcomer, statusWith } from './support/people';
import { withFreshFeed } from './support/polls';
import { quiet } from './support/quiet';
import { sendRaw } from './support/raw-http';
import { statementsDuring } from './support/statements';

interface Refusal {
  error: string;
  details: { field: string; rule: string }[];
}

describe('API keys', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const list = (token: string) => listKeys(app, token);

  describe('creation', () => {
    it('answers with the key, this once', async () => {
      const { token } = await newcomer(app);

      const { status, body } = await app.call('POST', '/auth/keys', {
        token,
        body: { name: 'My Integration Key' },
      });

      expect(status).toBe(201);
      expect(body).toEqual({
        keyId: expect.stringMatching(/^key_[0-7][0-9a-hjkmnp-tv-z]{25}$/) as string,
        apiKey: expect.stringMatching(/^sk_live_[0-9A-Za-z]{38}$/) as string,
        name: 'My Integration Key',
        createdAt: '2026-03-14T09:26:53Z',
        scopes: ['users:read'],
        enabled: true,
        expiresAt: null,
        allowedIps: null,
      });
    });

    it.each([
      ['no body at all', undefined],
      ['an empty object', {}],
    ])('takes %s, since all fields are optional', async (_, body) => {
      const { token } = await newcomer(app);

      const answer = await app.call<CreatedKeyBody>('POST', '/auth/keys', { token, body });

      expect([answer.status, answer.body.name]).toEqual([201, 'API key']);
    });

    it('stores only the SHA-256 of the key', async () => {
      const { token } = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, token);

      const stored = await app.rows<{ hash: string }>(
        'SELECT s.*, k.* FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id WHERE k.id = ?',
        [keyId],
      );

      expect(stored).toHaveLength(1);
      expect(stored[0]?.hash).toMatch(/^[0-9a-f]{64}$/);
      expect(JSON.stringify(stored)).not.toContain(apiKey.slice('sk_live_'.length));
    });

    it.each([
      'Ключ',
      '鍵 1',
      '🔑',
      'e\u0301 kept as typed',
      'x'.repeat(100),
      '🔑'.repeat(100),
      '  blanks kept  ',
    ])('keeps the name %p as typed', async (name) => {
      const { token } = await newcomer(app);

      await createKey(app, token, { name });

      expect((await list(token)).map((key) => key.name)).toEqual([name]);
    });

    it.each([
      ['an empty name', { name: '' }, 'name'],
      ['a name of white space', { name: ' \u3000 ' }, 'name'],
      ['a name with a line break', { name: 'two\nlines' }, 'name'],
      ['a name with an escape', { name: '\u001b[31mred' }, 'name'],
      ['a name that is read from right to left', { name: '\u202egnp.exe' }, 'name'],
      ['a name of 101 characters', { name: '🔑'.repeat(101) }, 'name'],
      ['a name of 5,000 characters', { name: 'x'.repeat(5000) }, 'name'],
      ['a lone surrogate', { name: 'x\ud800' }, 'name'],
      ['null for a name', { name: null }, 'name'],
      ['no scopes in the list', { scopes: [] }, 'scopes'],
      ['a scope twice', { scopes: ['a:b', 'a:b'] }, 'scopes'],
      ['a scope without action', { scopes: ['invoices'] }, 'scopes'],
      ['everything for a scope', { scopes: ['*'] }, 'scopes'],
      ['two scopes in one', { scopes: ['a:b c:d'] }, 'scopes'],
      ['33 scopes', { scopes: Array.from({ length: 33 }, (_, index) => `a:b${index}`) }, 'scopes'],
      ['text for scopes', { scopes: 'users:read' }, 'scopes'],
      ['a number for a scope', { scopes: [1] }, 'scopes'],
      ['an expiry in the past', { expiresAt: '2026-03-14T09:26:53Z' }, 'expiresAt'],
      ['an expiry without zone', { expiresAt: '2030-01-01T00:00:00' }, 'expiresAt'],
      ['an expiry on a day that no calendar has', { expiresAt: '2030-02-30T00:00:00Z' }, 'expiresAt'],
      ['an expiry that is no date', { expiresAt: '2030-02-31T25:00:00Z' }, 'expiresAt'],
      ['an expiry beyond all dates', { expiresAt: '9999-12-31T23:59:59-12:00' }, 'expiresAt'],
      ['a number for an expiry', { expiresAt: 1893456000 }, 'expiresAt'],
      ['a range with too long a prefix', { allowedIps: ['10.0.0.0/33'] }, 'allowedIps'],
      ['a range with no prefix behind the slash', { allowedIps: ['10.0.0.0/'] }, 'allowedIps'],
      ['a host name', { allowedIps: ['example.com'] }, 'allowedIps'],
      ['an address with a zone', { allowedIps: ['fe80::1%eth0'] }, 'allowedIps'],
      ['an address twice', { allowedIps: ['192.0.2.1', '192.0.2.1'] }, 'allowedIps'],
      ['no addresses in the list', { allowedIps: [] }, 'allowedIps'],
      ['somebody else', { userId: 'user_00000000000000000000000000' }, 'userId'],
    ])('refuses %s with 400 and makes no key', async (_, body, field) => {
      const { token } = await newcomer(app);

      const answer = await app.call<Refusal>('POST', '/auth/keys', { token, body });

      expect(answer.status).toBe(400);
      expect(answer.body.details.map((fault) => fault.field)).toContain(field);
      expect(await list(token)).toEqual([]);
    });

    it('needs a recent sign-in; a refresh is none', async () => {
      const person = await newcomer(app);
      app.clock.advance(900);
      expect((await app.call('POST', '/auth/keys', { token: person.token })).status).toBe(201);
      app.clock.advance(1);

      const late = await app.call('POST', '/auth/keys', { token: person.token });
      const { body: renewed } = await app.call<{ token: string }>('POST', '/auth/refresh', {
        body: { refreshToken: person.refreshToken },
      });
      const refreshed = await app.call('POST', '/auth/keys', { token: renewed.token });

      for (const { status, body, headers } of [late, refreshed]) {
        expect([status, body]).toEqual([403, { error: 'A recent sign-in is required' }]);
        expect(headers.get('x-error-code')).toBe('recent_login_required');
      }
      const again = await logIn(app, person);
      expect((await app.call('POST', '/auth/keys', { token: again.token })).status).toBe(201);
    });

    it('needs no recent sign-in where STEP_UP_MAX_AGE is 0', async () => {
      await app.restart({ STEP_UP_MAX_AGE: '0' });
      const { token } = await newcomer(app);
      app.clock.advance(3000);

      const { status } = await app.call('POST', '/auth/keys', { token });
      await app.restart();

      expect(status).toBe(201);
    });

    it('stops at a hundred keys, also when many want the last place', async () => {
      const { token } = await newcomer(app);
      for (let count = 0; count < 99; count += 1) await createKey(app, token);

      const answers = await Promise.all(
        Array.from({ length: 5 }, () => app.call('POST', '/auth/keys', { token, body: {} })),
      );

      expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409]);
      const refused = answers.find(({ status }) => status === 409);
      expect(refused?.body).toEqual({ error: 'API key limit reached' });
      expect(await list(token)).toHaveLength(100);
    });

    it('cannot give a key a scope that its owner lacks', async () => {
      const { token, id } = await newcomer(app);
      await app.inDatabase((tx) => tx.update('User', { id }, { scopes: 'users:read invoices:read' }));

      const beyond = await app.call('POST', '/auth/keys', { token, body: { scopes: ['invoices:write'] } });
      const within = await app.call('POST', '/auth/keys', { token, body: { scopes: ['invoices:read'] } });

      expect([beyond.status, beyond.headers.get('x-error-code')]).toEqual([403, 'scope_not_held']);
      expect(within.status).toBe(201);
    });

    it('cannot give a key what an operator alone grants', async () => {
      const { token } = await newcomer(app);

      const { status, headers } = await app.call('POST', '/auth/keys', {
        token,
        body: { scopes: ['introspect:all'] },
      });

      expect([status, headers.get('x-error-code')]).toEqual([403, 'scope_not_held']);
    });

    it('is not for a session that has ended meanwhile', async () => {
      const person = await newcomer(app);
      await app.inDatabase((tx) =>
        tx.query('UPDATE sessions SET revoked_at = created_at WHERE user_id = ?', [person.id]),
      );

      const { status, headers } = await app.call('POST', '/auth/keys', { token: person.token });

      expect([status, headers.get('x-error-code')]).toEqual([401, 'token_revoked']);
    });
  });

  describe('list', () => {
    it('shows the own keys, newest first, without the keys themselves', async () => {
      const { token } = await newcomer(app);
      const first = await createKey(app, token, { name: 'first' });
      const second = await createKey(app, token, {
        name: 'second',
        scopes: ['a:b'],
        allowedIps: ['10.0.0.0/8'],
      });
      await createKey(app, (await newcomer(app)).token, { name: "somebody else's" });

      const keys = await list(token);

      const shown = ({ apiKey: _, ...rest }: CreatedKeyBody) => ({
        ...rest,
        lastUsed: null,
        reportedAt: null,
        oldSecret: null,
      });
      expect(keys).toEqual([shown(second), shown(first)]);
    });

    it('is empty for who has none', async () => {
      const { token } = await newcomer(app);

      expect(await list(token)).toEqual([]);
    });

    it('shows when a key was last used, once the batch has been written', async () => {
      // By hand from here on, until the next restart.
      await quiet(app);
      const { token } = await newcomer(app);
      const { apiKey } = await createKey(app, token);
      app.clock.advance(5);
      await statusWith(app, { key: apiKey });
      expect((await list(token))[0]?.lastUsed).toBeNull();

      await writeLastUses(app, KeyUsage);

      expect((await list(token))[0]?.lastUsed).toBe(formatInstant(app.clock.now()));
    });

    it('writes the last use when it stops', async () => {
      const { token } = await newcomer(app);
      const { apiKey } = await createKey(app, token);
      await statusWith(app, { key: apiKey });

      await app.restart();

      expect((await list(token))[0]?.lastUsed).not.toBeNull();
    });

    it('moves the last use forward only', async () => {
      const { token } = await newcomer(app);
      const { apiKey } = await createKey(app, token);
      await statusWith(app, { key: apiKey });
      await writeLastUses(app, KeyUsage);
      const before = (await list(token))[0]?.lastUsed;
      app.clock.advance(-60);

      await statusWith(app, { key: apiKey });
      await writeLastUses(app, KeyUsage);
      app.clock.advance(60);

      expect((await list(token))[0]?.lastUsed).toBe(before);
    });

    it('keeps a use that could not be written for the next time', async () => {
      const { token } = await newcomer(app);
      const { apiKey } = await createKey(app, token);
      await statusWith(app, { key: apiKey });
      await app.inDatabase((tx) => tx.query('ALTER TABLE api_keys RENAME TO hidden_keys'));
      await writeLastUses(app, KeyUsage);
      await app.inDatabase((tx) => tx.query('ALTER TABLE hidden_keys RENAME TO api_keys'));

      await writeLastUses(app, KeyUsage);

      expect((await list(token))[0]?.lastUsed).not.toBeNull();
    });

    it('tells once of an outage that keeps uses from being written, tries two batches a round, and tells of its end', async () => {
      await quiet(app);
      const usage = app.nest.get(KeyUsage);
      const told = () => app.logged.filter(({ msg }) => String(msg).startsWith('Last uses'));
      const before = told().length;
      for (let count = 0; count < 450; count += 1) usage.note(`key_${count}`);
      await app.inDatabase((tx) => tx.query('ALTER TABLE api_keys RENAME TO hidden_keys'));

      const tries = await statementsDuring(app, () => usage.flush());
      await usage.flush();
      await app.inDatabase((tx) => tx.query('ALTER TABLE hidden_keys RENAME TO api_keys'));
      const written = await statementsDuring(app, () => usage.flush());

      expect(tries.filter(({ sql }) => sql.startsWith('UPDATE api_keys'))).toHaveLength(2);
      expect(written.filter(({ sql }) => sql.startsWith('UPDATE api_keys'))).toHaveLength(3);
      expect(told().slice(before)).toMatchObject([
        { level: 'warn', msg: 'Last uses could not be written yet', table: 'api_keys', rows: 450 },
        { level: 'info', msg: 'Last uses are written again' },
      ]);
    });
  });

  describe('deletion', () => {
    it('stops the key at once', async () => {
      const { token } = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, token);
      expect(await statusWith(app, { key: apiKey })).toBe(200);

      const { status, body } = await app.call('DELETE', `/auth/keys/${keyId}`, { token });

      expect([status, body]).toEqual([204, undefined]);
      expect(await statusWith(app, { key: apiKey })).toBe(401);
      expect(await list(token)).toEqual([]);
    });

    it('is done also where the request declares a media type and has no body', async () => {
      const { token } = await newcomer(app);
      const { keyId, apiKey } = await createKey(app, token);

      const [answer] = await sendRaw(
        app.url,
        `DELETE /api/v1/auth/keys/${keyId} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\nContent-Type: text/plain\r\n\r\n`,
      );

      expect(answer?.status).toBe(204);
      expect(await statusWith(app, { key: apiKey })).toBe(401);
    });

    it('is answered 404 the second time', async () => {
      const { token } = await newcomer(app);
      const { keyId } = await createKey(app, token);
      await app.call('DELETE', `/auth/keys/${keyId}`, { token });

      const { status, body } = await app.call('DELETE', `/auth/keys/${keyId}`, { token });

      expect([status, body]).toEqual([404, { error: 'API key not found' }]);
    });

    it.each([
      ['GET', ''],
      ['PATCH', ''],
      ['POST', '/rotate'],
      ['GET', '/explain'],
      ['DELETE', ''],
    ])('is none, with 404, nor anything else, by an id with blanks behind it: %s%s', async (method, path) => {
      const { token, id } = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, token);

      for (const blanks of ['%20', '%20'.repeat(12), '%09', '%00']) {
        const { status, body } = await app.call(method, `/auth/keys/${keyId}${blanks}${path}`, {
          token,
          ...(['PATCH', 'POST'].includes(method) && { body: {} }),
        });
        expect([status, body]).toEqual([404, { error: 'API key not found' }]);
      }

      expect(await statusWith(app, { key: apiKey })).toBe(200);
      const events = await app.rows('SELECT type FROM audit_events WHERE user_id = ? ORDER BY id', [id]);
      expect(events.map(({ type }) => type)).toEqual(['account_created', 'signed_in', 'api_key_created']);
    });

    it("is answered 404 for somebody else's key, which lives on", async () => {
      const [owner, stranger] = [await newcomer(app), await newcomer(app)];
      const { apiKey, keyId } = await createKey(app, owner.token);

      const { status, body } = await app.call('DELETE', `/auth/keys/${keyId}`, { token: stranger.token });

      expect([status, body]).toEqual([404, { error: 'API key not found' }]);
      expect(await statusWith(app, { key: apiKey })).toBe(200);
    });

    it('is not for a session that has ended meanwhile', async () => {
      const person = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, person.token);
      await app.inDatabase((tx) =>
        tx.query('UPDATE sessions SET revoked_at = created_at WHERE user_id = ?', [person.id]),
      );

      const { status, headers } = await app.call('DELETE', `/auth/keys/${keyId}`, { token: person.token });

      expect([status, headers.get('x-error-code')]).toEqual([401, 'token_revoked']);
      expect(await statusWith(app, { key: apiKey })).toBe(200);
    });

    it.each(['key_abc123', 'nothing', '%00', '%F0%9F%94%91', 'x'.repeat(5000), "'--", '..%2Fkeys'])(
      'is answered 404 for the id %p',
      async (id) => {
        const { token } = await newcomer(app);

        const { status, body } = await app.call('DELETE', `/auth/keys/${id}`, { token });

        expect([status, body]).toEqual([404, { error: 'API key not found' }]);
      },
    );
  });

  describe('use', () => {
    it('acts for the owner', async () => {
      const { token, id } = await newcomer(app);
      const { apiKey } = await createKey(app, token);

      const { status, body } = await app.call('GET', '/users/me', { key: apiKey });

      expect([status, body.id]).toEqual([200, id]);
    });

    it('survives the session that made the key', async () => {
      const { token } = await newcomer(app);
      const { apiKey } = await createKey(app, token);

      await app.call('POST', '/auth/logout', { token });

      expect(await statusWith(app, { key: apiKey })).toBe(200);
    });

    it.each([
      ['GET', '/auth/keys'],
      ['POST', '/auth/keys'],
      ['DELETE', '/auth/keys/key_00000000000000000000000000'],
      ['POST', '/auth/logout'],
      ['PATCH', '/users/me'],
      ['DELETE', '/users/me'],
      ['POST', '/users/me/password'],
    ])('is refused with 403 at %s %s', async (method, path) => {
      const { token } = await newcomer(app);
      const { apiKey } = await createKey(app, token, { scopes: ['users:read', 'users:write', 'keys:write'] });

      const { status, body, headers } = await app.call(method, path, {
        key: apiKey,
        ...(method !== 'GET' && { body: {} }),
      });

      expect([status, body]).toEqual([403, { error: 'This operation needs a signed-in user' }]);
      expect(headers.get('x-error-code')).toBe('session_required');
    });

    it('answers every key that does not work with one and the same 401', async () => {
      const { token, id } = await newcomer(app);
      const [expired, disabled, elsewhere] = [
        await createKey(app, token, { expiresAt: '2026-03-15T09:26:53Z' }),
        await createKey(app, token),
        await createKey(app, token, { allowedIps: ['192.0.2.1'] }),
      ];
      await app.inDatabase((tx) =>
        tx.update('ApiKey', { id: disabled.keyId }, { disabledAt: app.clock.now() }),
      );
      const ofDisabledOwner = await createKey(app, (await newcomer(app)).token);
      await app.inDatabase((tx) =>
        tx.query(
          'UPDATE users SET disabled_at = created_at WHERE id IN (SELECT user_id FROM api_keys WHERE id = ?)',
          [ofDisabledOwner.keyId],
        ),
      );
      const unknown = expired.apiKey;
      app.clock.advance(86_400);

      const answers = [];
      for (const key of [
        expired.apiKey,
        disabled.apiKey,
        elsewhere.apiKey,
        ofDisabledOwner.apiKey,
        unknown.replace('live', 'test'),
        `${unknown.slice(0, -1)}0`,
        'sk_live_',
        'nonsense',
      ]) {
        const { status, body, headers } = await app.call('GET', '/users/me', { key });
        answers.push([status, body, headers.get('x-error-code'), headers.get('www-authenticate')]);
      }
      app.clock.advance(-86_400);

      const refusal = [401, { error: 'Authentication required' }, 'api_key_invalid', 'Bearer'];
      expect(answers).toEqual(Array(8).fill(refusal));
      expect(await app.rows('SELECT id FROM users WHERE id = ?', [id])).toHaveLength(1);
    });

    it('stops at the second of its expiry', async () => {
      const { token } = await newcomer(app);
      const { apiKey } = await createKey(app, token, {
        expiresAt: new Date(app.clock.now().getTime() + 10_000),
      });

      app.clock.advance(9.9);
      expect(await statusWith(app, { key: apiKey })).toBe(200);
      app.clock.advance(0.1);

      expect(await statusWith(app, { key: apiKey })).toBe(401);
      app.clock.advance(-10);
    });

    it.each([
      [['127.0.0.1'], 200],
      [['127.0.0.0/8'], 200],
      [['::1', '127.0.0.1/32'], 200],
      [['0.0.0.0/0'], 200],
      [['10.0.0.0/8'], 401],
      [['::/0'], 401],
    ])('allows addresses %j: %i from 127.0.0.1', async (allowedIps, expected) => {
      const { token } = await newcomer(app);
      const { apiKey } = await createKey(app, token, { allowedIps });

      expect(await statusWith(app, { key: apiKey })).toBe(expected);
    });

    it('does not believe a forwarded address from just anybody', async () => {
      const { token } = await newcomer(app);
      const { apiKey } = await createKey(app, token, { allowedIps: ['192.0.2.1'] });

      const { status } = await app.call('GET', '/users/me', {
        key: apiKey,
        headers: { 'X-Forwarded-For': '192.0.2.1', Forwarded: 'for=192.0.2.1', 'X-Real-IP': '192.0.2.1' },
      });

      expect(status).toBe(401);
    });

    it.each(['1', '127.0.0.1', 'loopback', '127.0.0.0/8, 10.0.0.0/8'])(
      'believes a forwarded address from a proxy trusted by TRUST_PROXY=%s',
      async (TRUST_PROXY) => {
        const { token } = await newcomer(app);
        const { apiKey } = await createKey(app, token, { allowedIps: ['192.0.2.1'] });
        await app.restart({ TRUST_PROXY });
        const from = (forwarded: string) =>
          app.call('GET', '/users/me', { key: apiKey, headers: { 'X-Forwarded-For': forwarded } });

        const statuses = [await from('192.0.2.1'), await from('192.0.2.1, 198.51.100.7')].map(
          ({ status }) => status,
        );
        await app.restart();

        expect(statuses).toEqual([200, 401]);
      },
    );

    it('costs no query to refuse a wrong checksum, and none to accept a key seen before', async () => {
      const { token } = await newcomer(app);
      const { apiKey } = await createKey(app, token, { scopes: ['a:b'] });
      const wrong = `${apiKey.slice(0, -1)}${apiKey.endsWith('0') ? '1' : '0'}`;
      const hide = () =>
        app.inDatabase((tx) => tx.query('ALTER TABLE api_key_secrets RENAME TO hidden_secrets'));

      try {
        // What the feed has yet to tell would empty the memory.
        const statuses = await withFreshFeed(app, async () => {
          const before = await statusWith(app, { key: apiKey });
          await hide();
          return [before, await statusWith(app, { key: wrong }), await statusWith(app, { key: apiKey })];
        });
        app.clock.push(61);

        expect([...statuses, await statusWith(app, { key: apiKey })]).toEqual([403, 401, 403, 503]);
      } finally {
        await app.inDatabase((tx) => tx.query('ALTER TABLE hidden_secrets RENAME TO api_key_secrets'));
      }
    });

    it('carries the environment that is configured', async () => {
      const { token } = await newcomer(app);
      const live = await createKey(app, token);
      await app.restart({ API_KEY_ENVIRONMENT: 'test' });

      const { apiKey } = await createKey(app, token);
      const statuses = [await statusWith(app, { key: apiKey }), await statusWith(app, { key: live.apiKey })];
      await app.restart();

      expect(apiKey).toMatch(/^sk_test_[0-9A-Za-z]{38}$/);
      expect(statuses).toEqual([200, 401]);
    });
  });
});
