import { KeyUsage, SecretUsage } from '../src/api-keys/key-usage';
import { type Answer, startApp, type TestApp } from './support/app';
import { gate } from './support/gate';
import {
  createKey,
  type CreatedKeyBody,
  eventTypes,
  listKeys,
  type ListedKeyBody,
  logIn,
  newcomer,
  statusWith,
} from './support/people';
import { writeLastUses } from './support/last-uses';
import { stopAt } from './support/stop-at';

interface RotatedKeyBody extends CreatedKeyBody {
  oldSecretEndsAt: string | null;
}

interface Refusal {
  details: { field: string }[];
}

describe('rotating a key', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const rotate = (token: string, keyId: string, body?: unknown) =>
    app.call<RotatedKeyBody>('POST', `/auth/keys/${keyId}/rotate`, { token, body });

  const statuses = (...keys: string[]) => Promise.all(keys.map((key) => statusWith(app, { key })));

  const shown = async (token: string, keyId: string): Promise<ListedKeyBody> =>
    (await app.call<ListedKeyBody>('GET', `/auth/keys/${keyId}`, { token })).body;

  const writeUses = () => writeLastUses(app, KeyUsage, SecretUsage);

  const secretsOf = (keyId: string) => app.rows('SELECT hash FROM api_key_secrets WHERE key_id = ?', [keyId]);

  it('gives it a new secret under the same id, with everything else as it was', async () => {
    const { token, id } = await newcomer(app);
    const { apiKey, ...before } = await createKey(app, token, {
      name: 'Billing',
      scopes: ['users:read', 'a:b'],
      expiresAt: '2030-01-01T00:00:00Z',
      allowedIps: ['127.0.0.1'],
    });

    const { status, body } = await rotate(token, before.keyId);

    const { apiKey: renewed, ...after } = body;
    expect(status).toBe(201);
    expect(after).toEqual({ ...before, oldSecretEndsAt: null });
    expect(renewed).toMatch(/^sk_live_[0-9A-Za-z]{38}$/);
    expect(renewed).not.toBe(apiKey);
    expect(await eventTypes(app, id)).toContain('api_key_rotated');
  });

  it.each([
    ['no body', undefined],
    ['an empty object', {}],
    ['no overlap', { overlapSeconds: 0 }],
  ])('ends the old secret at once with %s', async (_, body) => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    expect(await statusWith(app, { key: apiKey })).toBe(200);

    const renewed = (await rotate(token, keyId, body)).body;

    expect(await statuses(apiKey, renewed.apiKey)).toEqual([401, 200]);
    expect(renewed.oldSecretEndsAt).toBeNull();
    expect(await secretsOf(keyId)).toHaveLength(1);
  });

  it('lets the old secret work until the overlap ends, to the second', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);

    const renewed = (await rotate(token, keyId, { overlapSeconds: 60 })).body;

    expect(renewed.oldSecretEndsAt).toBe('2026-03-14T09:27:53Z');
    app.clock.advance(59.9);
    expect(await statuses(apiKey, renewed.apiKey)).toEqual([200, 200]);
    app.clock.advance(0.1);
    expect(await statuses(apiKey, renewed.apiKey)).toEqual([401, 200]);
    expect((await shown(token, keyId)).oldSecret).toBeNull();
    app.clock.advance(-60);
  });

  it('says with every answer to the old secret, refusals included, that it is going to end', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    const renewed = (await rotate(token, keyId, { overlapSeconds: 3600 })).body;

    const headers = async (key: string, method: string, path: string) => {
      const answer = await app.call(method, path, { key });
      return [answer.status, answer.headers.get('deprecation'), answer.headers.get('sunset')];
    };

    const news = ['@1773480413', 'Sat, 14 Mar 2026 10:26:53 GMT'];
    expect(await headers(apiKey, 'GET', '/users/me')).toEqual([200, ...news]);
    expect(await headers(apiKey, 'GET', '/auth/verify')).toEqual([200, ...news]);
    expect(await headers(apiKey, 'GET', '/auth/verify?scope=a:b')).toEqual([403, ...news]);
    expect(await headers(apiKey, 'GET', '/auth/keys')).toEqual([403, ...news]);
    expect(await headers(renewed.apiKey, 'GET', '/users/me')).toEqual([200, null, null]);
    await rotate(token, keyId);
    expect(await headers(apiKey, 'GET', '/users/me')).toEqual([401, null, null]);
  });

  it('announces the end of the key where that comes before the end of the overlap', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token, { expiresAt: '2026-03-14T10:00:00Z' });

    const { body } = await rotate(token, keyId, { overlapSeconds: 86_400 });
    const { headers } = await app.call('GET', '/users/me', { key: apiKey });

    expect(body.oldSecretEndsAt).toBe('2026-03-14T10:00:00Z');
    expect(headers.get('sunset')).toBe('Sat, 14 Mar 2026 10:00:00 GMT');
  });

  it('announces the end of a key from thirty days before, with every answer, beside that of an old secret', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token, { expiresAt: '2026-04-13T09:26:54Z' });
    const lasting = await createKey(app, token);
    const news = async (key: string, path = '/users/me') => {
      const { status, headers } = await app.call('GET', path, { key });
      return [status, headers.get('deprecation'), headers.get('sunset')];
    };
    const end = 'Mon, 13 Apr 2026 09:26:54 GMT';

    const before = await news(apiKey);
    app.clock.advance(0.411);
    const [from, refused] = [await news(apiKey), await news(apiKey, '/auth/keys')];
    const { body: renewed } = await rotate(token, keyId, { overlapSeconds: 3600 });
    const [old, current] = [await news(apiKey), await news(renewed.apiKey)];
    app.clock.advance(30 * 86_400 - 0.001);
    const [last, never] = [await news(renewed.apiKey), await news(lasting.apiKey)];
    app.clock.advance(0.001);
    const ended = await news(renewed.apiKey);
    app.clock.advance(-30 * 86_400 - 0.411);

    expect(before).toEqual([200, null, null]);
    expect([from, refused, current, last]).toEqual([200, 403, 200, 200].map((status) => [status, null, end]));
    expect(old).toEqual([200, '@1773480414', 'Sat, 14 Mar 2026 10:26:54 GMT']);
    expect([never, ended]).toEqual([
      [200, null, null],
      [401, null, null],
    ]);
  });

  it('shows whether the old secret is still in use, and since when it is quiet', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    await statusWith(app, { key: apiKey });
    await writeUses();
    app.clock.advance(10);
    const renewed = (await rotate(token, keyId, { overlapSeconds: 3600 })).body;

    const unused = await shown(token, keyId);
    app.clock.advance(10);
    await statuses(apiKey);
    app.clock.advance(10);
    await statuses(renewed.apiKey);
    await writeUses();
    const used = await shown(token, keyId);
    app.clock.advance(-30);

    expect(unused.lastUsed).toBe('2026-03-14T09:26:53Z');
    expect(unused.oldSecret).toEqual({
      endsAt: '2026-03-14T10:27:03Z',
      lastUsed: '2026-03-14T09:26:53Z',
      inUse: false,
      quietSince: '2026-03-14T09:27:03Z',
    });
    expect(used.lastUsed).toBe('2026-03-14T09:27:23Z');
    expect(used.oldSecret).toEqual({
      endsAt: '2026-03-14T10:27:03Z',
      lastUsed: '2026-03-14T09:27:13Z',
      inUse: true,
      quietSince: '2026-03-14T09:27:13Z',
    });
    expect((await listKeys(app, token))[0]).toEqual(used);
  });

  it('shows a use of the old secret that came within the same second', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    await rotate(token, keyId, { overlapSeconds: 3600 });

    app.clock.advance(0.2);
    await statuses(apiKey);
    await writeUses();
    const { oldSecret } = await shown(token, keyId);
    app.clock.advance(-0.2);

    const second = '2026-03-14T09:26:53Z';
    expect(oldSecret).toMatchObject({ lastUsed: second, inUse: true, quietSince: second });
  });

  it('ends the older secret at once when it is done again while an overlap runs', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);

    const second = (await rotate(token, keyId, { overlapSeconds: 3600 })).body.apiKey;
    const third = (await rotate(token, keyId, { overlapSeconds: 60 })).body.apiKey;

    expect(await statuses(apiKey, second, third)).toEqual([401, 200, 200]);
    expect(await secretsOf(keyId)).toHaveLength(2);
  });

  it('does not lose when the key was last used, also not what was still to be written', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    await statuses(apiKey);
    await writeUses();
    await rotate(token, keyId);
    expect((await shown(token, keyId)).lastUsed).toBe('2026-03-14T09:26:53Z');

    const second = (await rotate(token, keyId)).body.apiKey;
    app.clock.advance(7);
    await statuses(second);
    await rotate(token, keyId);
    await writeUses();
    app.clock.advance(-7);

    expect((await shown(token, keyId)).lastUsed).toBe('2026-03-14T09:27:00Z');
  });

  it('needs a recent sign-in', async () => {
    const person = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, person.token);
    app.clock.advance(901);

    const { status, headers } = await rotate(person.token, keyId);
    const again = await rotate((await logIn(app, person)).token, keyId);
    app.clock.advance(-901);

    expect([status, headers.get('x-error-code')]).toEqual([403, 'recent_login_required']);
    expect(again.status).toBe(201);
    expect(await statuses(apiKey)).toEqual([401]);
  });

  it.each([-1, 0.5, 7_776_001, '60', null, true])(
    'refuses an overlap of %p with 400',
    async (overlapSeconds) => {
      const { token } = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, token);

      const { status, body } = await app.call<Refusal>('POST', `/auth/keys/${keyId}/rotate`, {
        token,
        body: { overlapSeconds },
      });

      expect(status).toBe(400);
      expect(new Set(body.details.map(({ field }) => field))).toEqual(new Set(['overlapSeconds']));
      expect(await statuses(apiKey)).toEqual([200]);
    },
  );

  it('leaves a disabled key disabled and an expired one expired', async () => {
    const { token } = await newcomer(app);
    const disabled = await createKey(app, token);
    await app.call('PATCH', `/auth/keys/${disabled.keyId}`, { token, body: { enabled: false } });

    const { body } = await rotate(token, disabled.keyId);

    expect(body.enabled).toBe(false);
    expect(await statuses(body.apiKey)).toEqual([401]);
    await app.call('PATCH', `/auth/keys/${disabled.keyId}`, { token, body: { enabled: true } });
    expect(await statuses(body.apiKey)).toEqual([200]);
  });

  describe('at the same time', () => {
    const together = async (count: number, call: () => Promise<Answer<RotatedKeyBody>>) =>
      Promise.all(Array.from({ length: count }, call));

    it('makes a secret for each call, of which the last one is the key and the one before overlaps', async () => {
      const { token } = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, token);

      const answers = await together(6, () => rotate(token, keyId, { overlapSeconds: 3600 }));

      expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(201));
      expect(await statuses(apiKey)).toEqual([401]);
      const working = await statuses(...answers.map(({ body }) => body.apiKey));
      expect(working.filter((status) => status === 200)).toHaveLength(2);
      expect(await secretsOf(keyId)).toHaveLength(2);
    });

    it('leaves one secret without an overlap', async () => {
      const { token } = await newcomer(app);
      const { keyId } = await createKey(app, token);

      const answers = await together(6, () => rotate(token, keyId));

      const working = await statuses(...answers.map(({ body }) => body.apiKey));
      expect(working.filter((status) => status === 200)).toHaveLength(1);
      expect(await secretsOf(keyId)).toHaveLength(1);
    });

    it('never leaves a secret of a key that was deleted meanwhile', async () => {
      const { token } = await newcomer(app);
      const keys: CreatedKeyBody[] = [];
      for (let count = 0; count < 6; count += 1) keys.push(await createKey(app, token));

      const answers = await Promise.all(
        keys.flatMap(({ keyId }) => [
          rotate(token, keyId, { overlapSeconds: 60 }),
          app.call<RotatedKeyBody>('DELETE', `/auth/keys/${keyId}`, { token }),
        ]),
      );

      const made = answers.flatMap(({ status, body }) => (status === 201 ? [body.apiKey] : []));
      expect(answers.every(({ status }) => [201, 204, 404].includes(status))).toBe(true);
      expect(await statuses(...made)).toEqual(made.map(() => 401));
      for (const { keyId } of keys) expect(await secretsOf(keyId)).toEqual([]);
    });

    it('is not remembered as it was before: a lookup that a rotation overtook does not keep the old secret', async () => {
      const { token } = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, token);
      const [reading, rotated] = [gate(), gate()];
      const release = stopAt(app, 'key_lookup:row_read', () => {
        reading.open();
        return rotated.opened;
      });

      const overtaken = statusWith(app, { key: apiKey });
      await reading.opened;
      await rotate(token, keyId);
      rotated.open();
      await overtaken;
      release();

      expect(await statuses(apiKey)).toEqual([401]);
    });
  });
});
