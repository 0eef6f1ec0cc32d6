import { startApp, type TestApp } from './support/app';
import { gate } from './support/gate';
import {
  createKey,
  type CreatedKeyBody,
  eventTypes,
  type ListedKeyBody,
  newcomer,
  operator,
  statusWith,
} from './support/people';
import { stopAt } from './support/stop-at';

describe('reporting a key that was found', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const report = (apiKey: unknown) => app.call('POST', '/auth/keys/report', { body: { apiKey } });
  const rotate = async (token: string, keyId: string, overlapSeconds = 0) =>
    (
      await app.call<CreatedKeyBody>('POST', `/auth/keys/${keyId}/rotate`, {
        token,
        body: { overlapSeconds },
      })
    ).body;
  const enable = (token: string, keyId: string) =>
    app.call<ListedKeyBody>('PATCH', `/auth/keys/${keyId}`, { token, body: { enabled: true } });
  const shown = async (token: string, keyId: string) =>
    (await app.call<ListedKeyBody>('GET', `/auth/keys/${keyId}`, { token })).body;
  const statuses = (...keys: string[]) => Promise.all(keys.map((key) => statusWith(app, { key })));

  it('disables it at once, and its owner sees when and why', async () => {
    const { token, id } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    expect(await statuses(apiKey)).toEqual([200]);

    await report(apiKey);

    expect(await statuses(apiKey)).toEqual([401]);
    expect(await shown(token, keyId)).toMatchObject({ enabled: false, reportedAt: '2026-03-14T09:26:53Z' });
    expect((await eventTypes(app, id)).at(-1)).toBe('api_key_reported');
    const logged = app.logged.filter(({ keyId: about }) => about === keyId);
    expect(logged).toEqual([expect.objectContaining({ level: 'warn', msg: 'A reported key was ended' })]);
    expect(JSON.stringify(app.logged)).not.toContain(apiKey);
  });

  it('knows it with the blanks and the line end that it was copied with', async () => {
    const { token } = await newcomer(app);
    const { apiKey } = await createKey(app, token);

    await report(` \t${apiKey}\r\n`);

    expect(await statuses(apiKey)).toEqual([401]);
  });

  it('answers the same to everything: a key, one reported before, one that never was, and any other text', async () => {
    const { token } = await newcomer(app);
    const { apiKey } = await createKey(app, token);
    const { apiKey: deleted, keyId } = await createKey(app, token);
    await app.call('DELETE', `/auth/keys/${keyId}`, { token });

    const answers = [];
    for (const text of [apiKey, apiKey, deleted, apiKey.slice(0, -1), '', '🔑', 'x'.repeat(10_000), token]) {
      const { status, body, headers } = await report(text);
      const names = [...headers.keys()].sort();
      answers.push({ status, body, names });
    }

    expect(answers[0]).toMatchObject({
      status: 202,
      body: { message: 'If this is a key of ours, it no longer works' },
    });
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
  });

  it.each([undefined, null, 1, ['sk_live_x'], {}])(
    'refuses %p in place of a text with 400',
    async (apiKey) => {
      expect((await report(apiKey)).status).toBe(400);
    },
  );

  it('is written down once', async () => {
    const { token, id } = await newcomer(app);
    const { apiKey } = await createKey(app, token);

    await Promise.all(Array.from({ length: 5 }, () => report(apiKey)));

    expect((await eventTypes(app, id)).filter((type) => type === 'api_key_reported')).toHaveLength(1);
  });

  it('cannot be undone by enabling the key', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    await report(apiKey);

    const { status, body, headers } = await enable(token, keyId);

    expect([status, body]).toEqual([409, { error: 'The API key was reported as found, rotate it' }]);
    expect(headers.get('x-error-code')).toBe('api_key_reported');
    expect(await statuses(apiKey)).toEqual([401]);
    expect((await shown(token, keyId)).enabled).toBe(false);
  });

  it.each([0, 3600])(
    'is ended by a rotation, which makes a new secret and never spares the old one: overlap %i',
    async (overlap) => {
      const { token } = await newcomer(app);
      const { apiKey, keyId } = await createKey(app, token);
      await report(apiKey);

      const renewed = await rotate(token, keyId, overlap);

      expect(renewed).toMatchObject({ enabled: true, oldSecretEndsAt: null });
      expect(await statuses(apiKey, renewed.apiKey)).toEqual([401, 200]);
      expect(await shown(token, keyId)).toMatchObject({ enabled: true, reportedAt: null, oldSecret: null });
      await enable(token, keyId);
      await report(apiKey);
      expect(await statuses(apiKey, renewed.apiKey)).toEqual([401, 200]);
    },
  );

  it('leaves a key that its owner has disabled disabled through report and rotation', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    await app.call('PATCH', `/auth/keys/${keyId}`, { token, body: { enabled: false } });
    await report(apiKey);

    const renewed = await rotate(token, keyId);

    expect(renewed.enabled).toBe(false);
    expect((await enable(token, keyId)).status).toBe(200);
    expect(await statuses(renewed.apiKey)).toEqual([200]);
  });

  it('kills only the old secret where that is what was found', async () => {
    const { token, id } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    const renewed = await rotate(token, keyId, 3600);
    expect(await statuses(apiKey, renewed.apiKey)).toEqual([200, 200]);

    await report(apiKey);

    expect(await statuses(apiKey, renewed.apiKey)).toEqual([401, 200]);
    expect(await shown(token, keyId)).toMatchObject({ enabled: true, reportedAt: null, oldSecret: null });
    expect((await eventTypes(app, id)).at(-1)).toBe('api_key_old_secret_reported');
  });

  it('stops the whole key where the current secret was found, also while an old one still works', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    const renewed = await rotate(token, keyId, 3600);

    await report(renewed.apiKey);

    expect(await statuses(apiKey, renewed.apiKey)).toEqual([401, 401]);
  });

  it.each(['a disabled account', 'an expired key'])('works for %s too', async (which) => {
    const person = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, person.token, { expiresAt: '2026-03-14T10:00:00Z' });
    if (which === 'a disabled account') await operator(app).disable(person.id);
    else app.clock.advance(3000);

    await report(apiKey);
    if (which !== 'a disabled account') app.clock.advance(-3000);

    const [row] = await app.rows<{ reported_at: unknown }>('SELECT reported_at FROM api_keys WHERE id = ?', [
      keyId,
    ]);
    expect(row?.reported_at).not.toBeNull();
  });

  it('kills the old secret alone when a rotation was faster', async () => {
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    const [found, rotated] = [gate(), gate()];
    const release = stopAt(app, 'key_report:secret_found', () => {
      found.open();
      return rotated.opened;
    });

    const reporting = report(apiKey);
    await found.opened;
    const renewed = await rotate(token, keyId, 3600);
    rotated.open();
    await reporting;
    release();

    expect(await statuses(apiKey, renewed.apiKey)).toEqual([401, 200]);
    expect(await shown(token, keyId)).toMatchObject({ enabled: true, reportedAt: null });
  });

  it('never leaves a reported secret at work, whoever is faster', async () => {
    const { token } = await newcomer(app);
    for (let round = 0; round < 10; round += 1) {
      const { apiKey, keyId } = await createKey(app, token);
      const turns = [() => report(apiKey), () => rotate(token, keyId, 3600)];
      if (round % 2 === 1) turns.reverse();

      await Promise.all(turns.map((turn) => turn()));

      const { enabled, reportedAt } = await shown(token, keyId);
      expect([await statuses(apiKey), enabled, reportedAt]).toEqual([[401], true, null]);
    }
  });
});
