import { RevocationFeed } from '../src/revocation/revocation-feed';
import { startApp, type TestApp } from './support/app';
import { gate } from './support/gate';
import {
  createKey,
  type CreatedKeyBody,
  eventTypes,
  listKeys,
  type ListedKeyBody,
  logIn,
  newcomer,
  operator,
  statusWith,
} from './support/people';
import { withFreshFeed, withoutPolls } from './support/polls';
import { stopAt } from './support/stop-at';

interface Refusal {
  error: string;
  details: { field: string; rule: string }[];
}

interface Explanation {
  decision: string;
  checks: { check: string; outcome: string }[];
}

const DAY = 86_400;

describe('a key in the hands of its owner', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const get = (token: string, keyId: string) =>
    app.call<ListedKeyBody>('GET', `/auth/keys/${keyId}`, { token });
  const patch = (token: string, keyId: string, body: unknown) =>
    app.call<ListedKeyBody & Refusal>('PATCH', `/auth/keys/${keyId}`, { token, body });

  describe('read by itself', () => {
    it('looks as in the list', async () => {
      const { token } = await newcomer(app);
      await createKey(app, token, { name: 'another' });
      const { keyId } = await createKey(app, token, { name: 'this one', scopes: ['a:b', 'c:d'] });

      const { status, body } = await get(token, keyId);

      expect(status).toBe(200);
      expect(body.name).toBe('this one');
      expect((await listKeys(app, token)).find((key) => key.keyId === keyId)).toEqual(body);
    });

    it.each([
      ['GET', ''],
      ['PATCH', ''],
      ['GET', '/explain'],
      ['POST', '/rotate'],
    ])("is a 404 to %s %s where it is somebody else's, or nobody's", async (method, path) => {
      const [owner, stranger] = [await newcomer(app), await newcomer(app)];
      const { apiKey, keyId } = await createKey(app, owner.token);

      for (const id of [keyId, 'key_00000000000000000000000000', 'nothing', '%00', '%F0%9F%94%91']) {
        const { status, body } = await app.call(method, `/auth/keys/${id}${path}`, {
          token: stranger.token,
          ...(method !== 'GET' && { body: {} }),
        });
        expect([status, body]).toEqual([404, { error: 'API key not found' }]);
      }
      expect(await statusWith(app, { key: apiKey })).toBe(200);
    });
  });

  describe('changed', () => {
    it('keeps what the request does not name', async () => {
      const { token } = await newcomer(app);
      const { keyId } = await createKey(app, token, {
        name: 'before',
        scopes: ['a:b'],
        expiresAt: '2030-01-01T00:00:00Z',
        allowedIps: ['127.0.0.1'],
      });
      const before = (await get(token, keyId)).body;

      const { status, body } = await patch(token, keyId, { name: 'Ключ 🔑' });
      const nothing = await patch(token, keyId, {});

      expect(status).toBe(200);
      expect(body).toEqual({ ...before, name: 'Ключ 🔑' });
      expect([nothing.status, nothing.body]).toEqual([200, body]);
    });

    it('takes back expiry and addresses with null', async () => {
      const { token } = await newcomer(app);
      const { keyId } = await createKey(app, token, {
        expiresAt: '2030-01-01T00:00:00Z',
        allowedIps: ['127.0.0.1'],
      });

      const { body } = await patch(token, keyId, { expiresAt: null, allowedIps: null });

      expect(body).toMatchObject({ expiresAt: null, allowedIps: null });
    });

    it('is bound by the change from the next request on', async () => {
      const { token } = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, token);
      expect(await statusWith(app, { key: apiKey })).toBe(200);

      const after = async (change: object) => {
        await patch(token, keyId, change);
        return statusWith(app, { key: apiKey });
      };

      expect(await after({ allowedIps: ['192.0.2.1'] })).toBe(401);
      expect(await after({ allowedIps: null })).toBe(200);
      expect(await after({ scopes: ['a:b'] })).toBe(403);
      expect(await after({ scopes: ['users:read'] })).toBe(200);
      expect(await after({ enabled: false })).toBe(401);
      expect(await after({ enabled: true })).toBe(200);
    });

    it.each([
      ['a name of 5,000 characters', { name: 'x'.repeat(5000) }, 'name'],
      ['null for a name', { name: null }, 'name'],
      ['text for the switch', { enabled: 'false' }, 'enabled'],
      ['null for the switch', { enabled: null }, 'enabled'],
      ['a scope twice', { scopes: ['a:b', 'a:b'] }, 'scopes'],
      ['no scopes', { scopes: [] }, 'scopes'],
      ['null for scopes', { scopes: null }, 'scopes'],
      ['an expiry in the past', { expiresAt: '2026-03-14T09:26:53Z' }, 'expiresAt'],
      ['no time', { expiresAt: '' }, 'expiresAt'],
      ['the 29th of February of no leap year', { expiresAt: '2029-02-29T00:00:00Z' }, 'expiresAt'],
      ['a malformed range', { allowedIps: ['10.0.0.0/33'] }, 'allowedIps'],
      ['no addresses', { allowedIps: [] }, 'allowedIps'],
      ['an unknown field', { reportedAt: null }, 'reportedAt'],
      ['another id', { keyId: 'key_00000000000000000000000000' }, 'keyId'],
    ])('refuses %s with 400 and stays as it is', async (_, change, field) => {
      const { token } = await newcomer(app);
      const { keyId } = await createKey(app, token);
      const before = (await get(token, keyId)).body;

      const { status, body } = await patch(token, keyId, { name: 'changed', ...change });

      expect(status).toBe(400);
      expect(body.details.map((fault) => fault.field)).toContain(field);
      expect((await get(token, keyId)).body).toEqual(before);
    });

    it('needs a recent sign-in where it is to be able to do more, and only there', async () => {
      const person = await newcomer(app);
      const { keyId } = await createKey(app, person.token, { scopes: ['a:b', 'c:d'] });
      app.clock.advance(901);

      const wider = await patch(person.token, keyId, { scopes: ['a:b', 'e:f'] });
      const narrower = await patch(person.token, keyId, { scopes: ['a:b'], name: 'narrow', enabled: false });
      const again = await patch((await logIn(app, person)).token, keyId, { scopes: ['a:b', 'e:f'] });
      app.clock.advance(-901);

      expect([wider.status, wider.headers.get('x-error-code')]).toEqual([403, 'recent_login_required']);
      expect([narrower.status, narrower.body.scopes]).toEqual([200, ['a:b']]);
      expect([again.status, again.body.scopes]).toEqual([200, ['a:b', 'e:f']]);
    });

    it('is given no scope that its owner lacks, and that it was asked for is written down', async () => {
      const person = await newcomer(app);
      const { keyId } = await createKey(app, person.token, { scopes: ['a:b'] });

      const { status, headers } = await patch(person.token, keyId, { scopes: ['introspect:all'], name: 'x' });

      expect([status, headers.get('x-error-code')]).toEqual([403, 'scope_not_held']);
      expect((await get(person.token, keyId)).body).toMatchObject({ name: 'API key', scopes: ['a:b'] });
      expect(await eventTypes(app, person.id)).toContain('access_refused');
    });

    it('leaves a line in the audit trail for each kind of change, and none for none', async () => {
      const { token, id } = await newcomer(app);
      const { keyId } = await createKey(app, token);
      for (const change of [{ name: 'x' }, {}, { enabled: true }, { enabled: false }, { enabled: false }]) {
        await patch(token, keyId, change);
      }
      await patch(token, keyId, { enabled: true, name: 'y' });

      const events = (await eventTypes(app, id)).filter((type) => type.startsWith('api_key'));

      expect(events).toEqual([
        'api_key_created',
        'api_key_changed',
        'api_key_disabled',
        'api_key_changed',
        'api_key_enabled',
      ]);
    });

    it('is either changed and then gone, or gone and not found, when it is deleted meanwhile', async () => {
      const { token } = await newcomer(app);
      const keys: CreatedKeyBody[] = [];
      for (let count = 0; count < 8; count += 1) keys.push(await createKey(app, token));

      const outcomes = await Promise.all(
        keys.flatMap(({ keyId }) => [
          patch(token, keyId, { name: 'late', enabled: false }).then(({ status }) => status),
          app.call('DELETE', `/auth/keys/${keyId}`, { token }).then(({ status }) => status),
        ]),
      );

      expect(outcomes.filter((_, index) => index % 2 === 1)).toEqual(keys.map(() => 204));
      expect(outcomes.every((status) => [200, 204, 404].includes(status))).toBe(true);
      expect(await listKeys(app, token)).toEqual([]);
    });

    it('is not for a session that has ended meanwhile', async () => {
      const person = await newcomer(app);
      const { keyId } = await createKey(app, person.token);
      await app.inDatabase((tx) =>
        tx.query('UPDATE sessions SET revoked_at = created_at WHERE user_id = ?', [person.id]),
      );

      const { status, headers } = await patch(person.token, keyId, { enabled: true });

      expect([status, headers.get('x-error-code')]).toEqual([401, 'token_revoked']);
    });
  });

  describe('explained', () => {
    const explain = async (token: string, keyId: string, query = '') =>
      (await app.call<Explanation>('GET', `/auth/keys/${keyId}/explain${query}`, { token })).body;

    it('goes through every check in order, and skips what was not asked', async () => {
      const { token } = await newcomer(app);
      const { keyId } = await createKey(app, token, { scopes: ['a:b'] });

      expect(await explain(token, keyId)).toEqual({
        decision: 'allow',
        checks: [
          { check: 'owner_enabled', outcome: 'pass' },
          { check: 'key_enabled', outcome: 'pass' },
          { check: 'not_reported', outcome: 'pass' },
          { check: 'not_expired', outcome: 'pass' },
          { check: 'address_allowed', outcome: 'skipped' },
          { check: 'scope_given', outcome: 'skipped' },
          { check: 'scope_held_by_owner', outcome: 'skipped' },
        ],
      });
    });

    it.each([
      ['key_enabled', { enabled: false }, '', 401],
      ['not_expired', { expiresAt: '2026-03-14T10:00:00Z' }, '', 401],
      ['address_allowed', { allowedIps: ['10.0.0.0/8', '2001:db8::/32'] }, '?ip=192.0.2.1', 401],
      ['address_allowed', { allowedIps: ['10.0.0.0/8'] }, '?ip=2001:db8::1', 401],
      ['scope_given', {}, '?scope=c:d', 403],
    ])('names %s, and the key is refused for that', async (check, change, query, refusal) => {
      const { token } = await newcomer(app);
      const { keyId, apiKey } = await createKey(app, token, { scopes: ['a:b'] });
      await patch(token, keyId, change);
      app.clock.advance(3000);

      const { decision, checks } = await explain(token, keyId, query);
      const { status } = await app.call('GET', `/auth/verify${query}`, { key: apiKey });
      app.clock.advance(-3000);

      expect(decision).toBe('deny');
      expect(checks.filter(({ outcome }) => outcome === 'fail')).toEqual([{ check, outcome: 'fail' }]);
      expect(status).toBe(refusal);
    });

    it('names that the key was reported', async () => {
      const { token } = await newcomer(app);
      const { keyId, apiKey } = await createKey(app, token, { scopes: ['a:b'] });
      await app.call('POST', '/auth/keys/report', { body: { apiKey } });

      const { decision, checks } = await explain(token, keyId);

      expect(decision).toBe('deny');
      expect(checks.filter(({ outcome }) => outcome === 'fail').map(({ check }) => check)).toContain(
        'not_reported',
      );
      expect((await app.call('GET', '/auth/verify', { key: apiKey })).status).toBe(401);
    });

    it.each([
      ['?ip=10.1.2.3&scope=a:b', 'allow'],
      ['?ip=::ffff:10.1.2.3', 'allow'],
      ['?ip=2001:DB8::7', 'allow'],
      ['?ip=127.0.0.1', 'deny'],
    ])('judges %s: %s', async (query, expected) => {
      const { token } = await newcomer(app);
      const { keyId } = await createKey(app, token, {
        scopes: ['a:b'],
        allowedIps: ['10.0.0.0/8', '2001:db8::/32'],
      });

      expect((await explain(token, keyId, query)).decision).toBe(expected);
    });

    it('tells a scope that an operator has taken from the owner apart', async () => {
      const person = await newcomer(app);
      const { keyId } = await createKey(app, person.token, { scopes: ['a:b'] });
      await app.inDatabase((tx) => tx.update('User', { id: person.id }, { scopes: 'users:read' }));

      const { decision, checks } = await explain(person.token, keyId, '?scope=a:b');

      expect(decision).toBe('deny');
      expect(checks.slice(-2).map(({ outcome }) => outcome)).toEqual(['pass', 'fail']);
    });

    it.each([
      ['ip', '?ip=nowhere'],
      ['ip', '?ip=10.0.0.0/8'],
      ['ip', '?ip=fe80::1%25eth0'],
      ['ip', '?ip=10.0.0.1&ip=10.0.0.2'],
      ['scope', '?scope=everything'],
      ['scope', '?scope='],
      ['nickname', '?nickname=x'],
    ])('refuses a wrong %s in %s with 400', async (field, query) => {
      const { token } = await newcomer(app);
      const { keyId } = await createKey(app, token);

      const { status, body } = await app.call<Refusal>('GET', `/auth/keys/${keyId}/explain${query}`, {
        token,
      });

      expect(status).toBe(400);
      expect(body.details.map((fault) => fault.field)).toEqual([field]);
    });

    it('is for the owner only: whoever holds a bad key learns nothing but 401', async () => {
      const { token } = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, token, { allowedIps: ['192.0.2.1'] });

      const { status, body, headers } = await app.call('GET', `/auth/keys/${keyId}/explain`, { key: apiKey });

      expect([status, body]).toEqual([401, { error: 'Authentication required' }]);
      expect(headers.get('x-error-code')).toBe('api_key_invalid');
    });
  });

  describe('remembered', () => {
    const alter = (token: string, keyId: string) => patch(token, keyId, { enabled: false });

    it('is not remembered as it was before a change that was made while it was looked up', async () => {
      const { token } = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, token);
      const [reading, changed] = [gate(), gate()];
      const release = stopAt(app, 'key_lookup:row_read', () => {
        reading.open();
        return changed.opened;
      });

      const overtaken = statusWith(app, { key: apiKey });
      await reading.opened;
      await alter(token, keyId);
      changed.open();
      await overtaken;
      release();

      expect(await statusWith(app, { key: apiKey })).toBe(401);
    });

    it('is found as soon as it is there, though it was looked for before', async () => {
      const { token } = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, token);
      const hidden = await app.rows<{ hash: string }>('SELECT * FROM api_key_secrets WHERE key_id = ?', [
        keyId,
      ]);
      await app.inDatabase((tx) => tx.query('DELETE FROM api_key_secrets WHERE key_id = ?', [keyId]));
      await alter(token, keyId);
      await patch(token, keyId, { enabled: true });
      // The next round of the feed would bring the change once more, and have the cache forget what it learns now.
      await withFreshFeed(app, async () => {
        expect(await statusWith(app, { key: apiKey })).toBe(401);
        await app.inDatabase((tx) =>
          tx.query('INSERT INTO api_key_secrets (hash, key_id, created_at) VALUES (?, ?, ?)', [
            hidden[0]?.hash,
            keyId,
            '2026-03-14 09:26:53.000',
          ]),
        );
        // Remembered as unknown, until any key is made or changed.
        expect(await statusWith(app, { key: apiKey })).toBe(401);
      });

      await createKey(app, token);

      expect(await statusWith(app, { key: apiKey })).toBe(200);
    });

    it('is not remembered as unknown by a lookup that a creation overtook', async () => {
      const { token } = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, token);
      const hidden = await app.rows<{ hash: string }>('SELECT * FROM api_key_secrets WHERE key_id = ?', [
        keyId,
      ]);
      await app.inDatabase((tx) => tx.query('DELETE FROM api_key_secrets WHERE key_id = ?', [keyId]));
      const [reading, made] = [gate(), gate()];
      const release = stopAt(app, 'key_lookup:row_read', () => {
        reading.open();
        return made.opened;
      });

      const overtaken = statusWith(app, { key: apiKey });
      await reading.opened;
      await app.inDatabase((tx) =>
        tx.query('INSERT INTO api_key_secrets (hash, key_id, created_at) VALUES (?, ?, ?)', [
          hidden[0]?.hash,
          keyId,
          '2026-03-14 09:26:53.000',
        ]),
      );
      await createKey(app, token);
      made.open();
      expect(await overtaken).toBe(401);
      release();

      expect(await statusWith(app, { key: apiKey })).toBe(200);
    });

    it('costs no query for an unknown key seen before', async () => {
      const { token } = await newcomer(app);
      const { apiKey } = await createKey(app, token, { scopes: ['a:b'] });
      const { apiKey: gone, keyId } = await createKey(app, token);
      await app.call('DELETE', `/auth/keys/${keyId}`, { token });
      const statuses = async () => [
        await statusWith(app, { key: gone }),
        await statusWith(app, { key: apiKey }),
      ];

      // What the feed has yet to tell would empty the memory.
      const [before, without] = await withFreshFeed(app, async () => {
        const known = await statuses();
        await app.inDatabase((tx) => tx.query('ALTER TABLE api_key_secrets RENAME TO hidden_secrets'));
        return [known, await statuses()];
      });
      await app.inDatabase((tx) => tx.query('ALTER TABLE hidden_secrets RENAME TO api_key_secrets'));

      expect([before, without]).toEqual([
        [401, 403],
        [401, 403],
      ]);
    });

    /** The status of a key seen just now, at an instance that has not heard of changes for too long, after `change`. */
    const statusWhileLate = async (credential: { key: string }, change: string) => {
      await app.nest.get(RevocationFeed).poll();
      expect(await statusWith(app, credential)).toBe(200);
      const status = await withoutPolls(app, async () => {
        await app.inDatabase((tx) => tx.query(change));
        expect(await statusWith(app, credential)).toBe(200);
        app.clock.push(1);
        return statusWith(app, credential);
      });
      await app.nest.get(RevocationFeed).poll();
      return status;
    };

    it('is not relied on when changes have not been heard of for too long: the database is asked', async () => {
      const { token } = await newcomer(app);
      const [standing, disabled] = [await createKey(app, token), await createKey(app, token)];

      // As another instance would do it, whose line has not been read here yet.
      const change = `UPDATE api_keys SET disabled_at = created_at WHERE id = '${disabled.keyId}'`;

      expect(await statusWhileLate({ key: disabled.apiKey }, change)).toBe(401);
      expect(await statusWhileLate({ key: standing.apiKey }, change)).toBe(200);
    });

    it('is not relied on then though the database cannot be had either: that is 503, never 200 or 401', async () => {
      const { token } = await newcomer(app);
      const { apiKey } = await createKey(app, token);

      try {
        const change = 'ALTER TABLE api_key_secrets RENAME TO hidden_secrets';
        expect(await statusWhileLate({ key: apiKey }, change)).toBe(503);
      } finally {
        await app.inDatabase((tx) => tx.query('ALTER TABLE hidden_secrets RENAME TO api_key_secrets'));
      }

      expect(await statusWith(app, { key: apiKey })).toBe(200);
    });
  });

  it('is dead at once when its owner is disabled or deleted', async () => {
    const [disabled, deleted] = [await newcomer(app), await newcomer(app)];
    const keys = [await createKey(app, disabled.token), await createKey(app, deleted.token)];
    for (const { apiKey } of keys) expect(await statusWith(app, { key: apiKey })).toBe(200);

    await operator(app).disable(disabled.id);
    await app.call('DELETE', '/users/me', { token: deleted.token, body: { password: deleted.password } });

    for (const { apiKey } of keys) expect(await statusWith(app, { key: apiKey })).toBe(401);
  });

  it('may be made, changed and used for years: nothing depends on how old it is', async () => {
    const person = await newcomer(app);
    const { apiKey } = await createKey(app, person.token);
    app.clock.advance(1000 * DAY);

    const status = await statusWith(app, { key: apiKey });
    app.clock.advance(-1000 * DAY);

    expect(status).toBe(200);
  });
});
