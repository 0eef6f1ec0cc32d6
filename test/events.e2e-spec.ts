import { AccountService } from '../src/auth/account.service';
import { MOST_OF_AN_ACCOUNT, MOST_OF_NOBODY } from '../src/audit/audit-trail';
import { type Answer, startApp, type TestApp } from './support/app';
import { sealByHand } from './support/audit';
import {
  createKey,
  logIn,
  type LoginBody,
  newcomer,
  type Person,
  sessionIdOf,
  signUp,
} from './support/people';
import { statementsDuring } from './support/statements';

interface EventBody {
  eventId: string;
  type: string;
  reason: string | null;
  at: string;
  ip: string;
  userAgent: string | null;
  sessionId: string | null;
  keyId: string | null;
  requestId: string;
}

interface PageBody {
  items: EventBody[];
  nextCursor: string | null;
}

const events = (app: TestApp, token: string, query = '') =>
  app.call<PageBody>('GET', `/auth/events${query}`, { token });

const idOf = (answer: Answer<unknown>): string => answer.headers.get('x-request-id') ?? '';

describe('GET /auth/events', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  it('shows an account what happened to it: newest first, when, whence, by which session or key', async () => {
    const person = await signUp(app);
    const login = await app.call<LoginBody>('POST', '/auth/login', {
      body: { username: person.username, password: person.password },
      headers: { 'user-agent': 'a browser' },
    });
    app.clock.advance(60);
    const { keyId } = await createKey(app, login.body.token);

    const { status, body } = await events(app, login.body.token);

    expect(status).toBe(200);
    expect(body.nextCursor).toBeNull();
    expect(body.items.map(({ type }) => type)).toEqual(['api_key_created', 'signed_in', 'account_created']);
    expect(body.items[0]).toMatchObject({ keyId, sessionId: null, at: '2026-03-14T09:27:53Z' });
    expect(body.items[1]).toEqual({
      eventId: expect.stringMatching(/^evt_\w{26}$/) as string,
      type: 'signed_in',
      reason: 'new_device',
      at: '2026-03-14T09:26:53Z',
      ip: '127.0.0.1',
      userAgent: 'a browser',
      sessionId: sessionIdOf(login.body),
      keyId: null,
      requestId: idOf(login),
    });
    app.clock.advance(-60);
  });

  it('shows nobody the events of somebody else', async () => {
    const [one, other] = [await newcomer(app), await newcomer(app)];

    const mine = (await events(app, one.token)).body.items;
    const theirs = (await events(app, other.token)).body.items;

    expect(mine).toHaveLength(2);
    expect(theirs).toHaveLength(2);
    expect(mine.filter(({ eventId }) => theirs.some((event) => event.eventId === eventId))).toEqual([]);
  });

  it('is paged by a cursor, with each event on one page, also while others come in', async () => {
    const person = await newcomer(app);
    for (let count = 0; count < 5; count += 1) await logIn(app, person);
    const all = (await events(app, person.token)).body.items;

    const paged: EventBody[] = [];
    let query = '?limit=3';
    for (let pages = 1; ; pages += 1) {
      const { body } = await events(app, person.token, query);
      paged.push(...body.items);
      await logIn(app, person);
      if (body.nextCursor === null) {
        expect(pages).toBe(3);
        break;
      }
      expect(body.items).toHaveLength(3);
      query = `?limit=3&cursor=${body.nextCursor}`;
    }

    expect(all).toHaveLength(7);
    expect(paged).toEqual(all);
  });

  it('has 50 on a page unless asked, and up to 100', async () => {
    const person = await newcomer(app);
    for (let count = 0; count < 60; count += 1) {
      await app.call('PATCH', '/users/me', { token: person.token, body: { email: person.email } });
    }

    expect((await events(app, person.token)).body.items).toHaveLength(50);
    expect((await events(app, person.token, '?limit=100')).body.items).toHaveLength(62);
    const last = await events(app, person.token, '?limit=62');
    expect(last.body.nextCursor).toBeNull();
  });

  it('takes nobody further than his own events, whatever the cursor', async () => {
    const [one, other] = [await newcomer(app), await newcomer(app)];
    await logIn(app, other);
    const { nextCursor } = (await events(app, other.token, '?limit=1')).body;

    const { body } = await events(app, one.token, `?cursor=${nextCursor}`);

    const mine = (await events(app, one.token)).body.items;
    expect(body.items).toEqual(mine);
  });

  it.each([
    ['limit', 'limit=0'],
    ['limit', 'limit=101'],
    ['limit', 'limit=-1'],
    ['limit', 'limit=1.5'],
    ['limit', 'limit=1e1'],
    ['limit', 'limit=%2010'],
    ['limit', 'limit='],
    ['limit', 'limit=5&limit=6'],
    ['cursor', 'cursor='],
    ['cursor', 'cursor=x'],
    ['cursor', `cursor=${'A'.repeat(21)}B`],
    ['cursor', `cursor=${'A'.repeat(22)}==`],
    ['cursor', `cursor=${'A'.repeat(23)}`],
    ['cursor', `cursor=${'A'.repeat(22)}&cursor=${'A'.repeat(22)}`],
    ['cursor', 'cursor[$ne]=x'],
    ['page', 'page=2'],
  ])('refuses a wrong %s with 400 and names it: %s', async (field, query) => {
    const { token } = await newcomer(app);

    const answer = await app.call<{ details: { field: string }[] }>('GET', `/auth/events?${query}`, {
      token,
    });

    expect(answer.status).toBe(400);
    expect(answer.headers.get('x-error-code')).toBe('validation_failed');
    expect(answer.body.details[0]?.field.startsWith(field)).toBe(true);
  });

  it('refuses thousands of fields with one sentence', async () => {
    const { token } = await newcomer(app);
    const query = Array.from({ length: 4_000 }, (_, index) => `f${index}`).join('&');

    const { status, body } = await app.call<{ details: object[] }>(
      'GET',
      `/auth/events?${query.slice(0, 14_000)}`,
      {
        token,
      },
    );

    expect(status).toBe(400);
    expect(body.details).toEqual([
      { field: '', rule: 'maxFields', message: 'the query must have at most 64 fields' },
    ]);
  });

  it('is not for API keys', async () => {
    const { token } = await newcomer(app);
    const { apiKey } = await createKey(app, token);

    expect((await app.call('GET', '/auth/events', { key: apiKey })).status).toBe(403);
  });
});

/** One path through the product, and what the trail must hold of it afterwards: no more and no less. */
interface Path {
  name: string;
  /** Done before; its events do not count. */
  given?: (app: TestApp, person: Person & LoginBody) => Promise<unknown>;
  /** Answers the request whose id the events must carry; none for an operator's doing. */
  when: (app: TestApp, person: Person & LoginBody, given: never) => Promise<Answer<unknown> | void>;
  /** Type, reason, and prefix of the credential. */
  then: string[];
  /** Events about no account. */
  ofNobody?: string[];
}

const operator = { ip: 'command line', userAgent: null, requestId: 'req_of_an_operator' };
const login = (app: TestApp, username: string, password: string, deviceToken?: string) =>
  app.call('POST', '/auth/login', { body: { username, password, deviceToken } });
const refresh = (app: TestApp, refreshToken: string) =>
  app.call<LoginBody>('POST', '/auth/refresh', { body: { refreshToken } });
const keyWith = (wishes: object) => (app: TestApp, person: LoginBody) => createKey(app, person.token, wishes);
const disable = (app: TestApp, { id }: Person) => app.nest.get(AccountService).disable(id, operator);

const PATHS: Path[] = [
  {
    name: 'a sign-in from a known device',
    when: (app, p) => login(app, p.username, p.password, p.deviceToken),
    then: ['signed_in sess'],
  },
  {
    name: 'a sign-in from a device that is new',
    when: (app, p) => login(app, p.username, p.password),
    then: ['signed_in new_device sess'],
  },
  {
    name: "a sign-in with somebody else's device token",
    given: (app) => newcomer(app),
    when: (app, p, other: LoginBody) => login(app, p.username, p.password, other.deviceToken),
    then: ['signed_in new_device sess'],
  },
  {
    name: 'a sign-in with a device token of an earlier password',
    given: async (app, p) => {
      const body = { currentPassword: p.password, newPassword: 'the new password' };
      await app.call('POST', '/users/me/password', { token: p.token, body });
    },
    when: (app, p) => login(app, p.username, 'the new password', p.deviceToken),
    then: ['signed_in new_device sess'],
  },
  {
    name: 'a sign-in that was guessed',
    given: (app, p) => login(app, p.username, 'a guess'),
    when: (app, p) => login(app, p.username, p.password),
    then: ['signed_in new_device_after_failures sess'],
  },
  {
    name: 'a sign-in after failures on its known device',
    given: (app, p) => login(app, p.username, 'a slip', p.deviceToken),
    when: (app, p) => login(app, p.username, p.password, p.deviceToken),
    then: ['signed_in after_failures sess'],
  },
  {
    name: 'a sign-in from a known device while strangers guess',
    given: (app, p) => login(app, p.username, 'a guess'),
    when: (app, p) => login(app, p.username, p.password, p.deviceToken),
    then: ['signed_in sess'],
  },
  {
    name: 'a sign-in after one that came after failures',
    given: async (app, p) => {
      await login(app, p.username, 'a slip', p.deviceToken);
      await login(app, p.username, p.password, p.deviceToken);
    },
    when: (app, p) => login(app, p.username, p.password, p.deviceToken),
    then: ['signed_in sess'],
  },
  {
    name: 'a wrong password',
    when: (app, p) => login(app, p.username, 'not the password'),
    then: ['sign_in_failed wrong_password'],
  },
  {
    name: 'an unknown name',
    when: (app) => login(app, 'hunter2-in-the-wrong-field', 'x'),
    then: [],
    ofNobody: ['sign_in_failed unknown_user'],
  },
  {
    name: 'a sign-in to a disabled account',
    given: disable,
    when: (app, p) => login(app, p.username, p.password),
    then: ['sign_in_failed account_disabled'],
  },
  {
    name: 'the hundred-and-first session',
    given: async (app, p) => {
      for (let count = 1; count < 100; count += 1) await logIn(app, p);
    },
    when: (app, p) => login(app, p.username, p.password),
    then: ['session_ended session_limit sess', 'signed_in new_device sess'],
  },
  { name: 'a refresh', when: (app, p) => refresh(app, p.refreshToken), then: [] },
  {
    name: 'a refresh that is repeated in time',
    given: (app, p) => refresh(app, p.refreshToken),
    when: (app, p) => refresh(app, p.refreshToken),
    then: [],
  },
  {
    name: 'a refresh token used twice',
    given: async (app, p) => refresh(app, (await refresh(app, p.refreshToken)).body.refreshToken),
    when: async (app, p) => {
      const answer = await refresh(app, p.refreshToken);
      await refresh(app, p.refreshToken);
      return answer;
    },
    then: ['refresh_token_reused sess'],
  },
  { name: 'a forged refresh token', when: (app) => refresh(app, 'rt_whatever'), then: [] },
  {
    name: 'a sign-out',
    when: (app, p) => app.call('POST', '/auth/logout', { token: p.token }),
    then: ['signed_out sess'],
  },
  {
    name: 'another session ended',
    given: (app, p) => logIn(app, p),
    when: (app, p, other: LoginBody) =>
      app.call('DELETE', `/auth/sessions/${sessionIdOf(other)}`, { token: p.token }),
    then: ['session_ended sess'],
  },
  {
    name: 'a session ended that is not there',
    when: (app, p) => app.call('DELETE', '/auth/sessions/sess_1', { token: p.token }),
    then: [],
  },
  {
    name: 'all sessions ended',
    given: (app, p) => logIn(app, p),
    when: (app, p) => app.call('DELETE', '/auth/sessions', { token: p.token }),
    then: ['sessions_ended sess'],
  },
  {
    name: 'a password change',
    given: (app, p) => logIn(app, p),
    when: (app, p) =>
      app.call('POST', '/users/me/password', {
        token: p.token,
        body: { currentPassword: p.password, newPassword: 'the new password' },
      }),
    then: ['password_changed sess'],
  },
  {
    name: 'a password change that takes the keys along',
    given: keyWith({}),
    when: (app, p) =>
      app.call('POST', '/users/me/password', {
        token: p.token,
        body: { currentPassword: p.password, newPassword: 'the new password', revokeKeys: true },
      }),
    then: ['api_key_deleted key', 'password_changed sess'],
  },
  {
    name: 'a wrong proof at a password change',
    when: (app, p) =>
      app.call('POST', '/users/me/password', {
        token: p.token,
        body: { currentPassword: 'not the password', newPassword: 'the new password' },
      }),
    then: ['password_rejected sess'],
  },
  {
    name: 'a wrong proof at an account deletion',
    when: (app, p) =>
      app.call('DELETE', '/users/me', { token: p.token, body: { password: 'not the password' } }),
    then: ['password_rejected sess'],
  },
  {
    name: 'a new profile',
    when: (app, p) => app.call('PATCH', '/users/me', { token: p.token, body: { email: `new-${p.email}` } }),
    then: ['profile_changed sess'],
  },
  {
    name: 'a profile left as it is',
    when: (app, p) => app.call('PATCH', '/users/me', { token: p.token, body: {} }),
    then: [],
  },
  {
    name: 'a profile that cannot be had',
    given: (app) => signUp(app),
    when: (app, p, other: Person) =>
      app.call('PATCH', '/users/me', { token: p.token, body: { email: other.email } }),
    then: [],
  },
  {
    name: 'a new key',
    when: (app, p) => app.call('POST', '/auth/keys', { token: p.token, body: {} }),
    then: ['api_key_created key'],
  },
  {
    name: 'a key deleted',
    given: keyWith({}),
    when: (app, p, { keyId }: { keyId: string }) =>
      app.call('DELETE', `/auth/keys/${keyId}`, { token: p.token }),
    then: ['api_key_deleted key'],
  },
  {
    name: 'a key deleted that is not there',
    when: (app, p) => app.call('DELETE', '/auth/keys/key_1', { token: p.token }),
    then: [],
  },
  {
    name: 'a key changed',
    given: keyWith({}),
    when: (app, p, { keyId }: { keyId: string }) =>
      app.call('PATCH', `/auth/keys/${keyId}`, { token: p.token, body: { name: 'Another' } }),
    then: ['api_key_changed key'],
  },
  {
    name: 'a key left as it is',
    given: keyWith({}),
    when: (app, p, { keyId }: { keyId: string }) =>
      app.call('PATCH', `/auth/keys/${keyId}`, { token: p.token, body: {} }),
    then: [],
  },
  {
    name: 'a key disabled',
    given: keyWith({}),
    when: (app, p, { keyId }: { keyId: string }) =>
      app.call('PATCH', `/auth/keys/${keyId}`, { token: p.token, body: { enabled: false } }),
    then: ['api_key_disabled key'],
  },
  {
    name: 'a key enabled again',
    given: async (app, p) => {
      const key = await createKey(app, p.token);
      await app.call('PATCH', `/auth/keys/${key.keyId}`, { token: p.token, body: { enabled: false } });
      return key;
    },
    when: (app, p, { keyId }: { keyId: string }) =>
      app.call('PATCH', `/auth/keys/${keyId}`, { token: p.token, body: { enabled: true } }),
    then: ['api_key_enabled key'],
  },
  {
    name: 'a key rotated',
    given: keyWith({}),
    when: (app, p, { keyId }: { keyId: string }) =>
      app.call('POST', `/auth/keys/${keyId}/rotate`, { token: p.token, body: {} }),
    then: ['api_key_rotated key'],
  },
  {
    name: 'a key reported, twice',
    given: keyWith({}),
    when: async (app, _, { apiKey }: { apiKey: string }) => {
      const answer = await app.call('POST', '/auth/keys/report', { body: { apiKey } });
      await app.call('POST', '/auth/keys/report', { body: { apiKey } });
      return answer;
    },
    then: ['api_key_reported key'],
  },
  {
    name: 'an old secret reported',
    given: async (app, p) => {
      const key = await createKey(app, p.token);
      const body = { overlapSeconds: 60 };
      await app.call('POST', `/auth/keys/${key.keyId}/rotate`, { token: p.token, body });
      return key;
    },
    when: (app, _, { apiKey }: { apiKey: string }) =>
      app.call('POST', '/auth/keys/report', { body: { apiKey } }),
    then: ['api_key_old_secret_reported key'],
  },
  {
    name: 'a report of what is no key',
    when: (app) => app.call('POST', '/auth/keys/report', { body: { apiKey: 'sk_live_whatever' } }),
    then: [],
  },
  {
    name: 'an account bounded by an operator',
    when: async (app, p) =>
      void (await app.nest.get(AccountService).setScopes(p.id, ['users:read'], operator)),
    then: ['account_scopes_changed'],
  },
  {
    name: 'a key without the scope',
    given: keyWith({ scopes: ['invoices:read'] }),
    when: (app, _, { apiKey }: { apiKey: string }) => app.call('GET', '/users/me', { key: apiKey }),
    then: ['access_refused scope_missing key'],
  },
  {
    name: 'a key where a session is needed',
    given: keyWith({}),
    when: (app, _, { apiKey }: { apiKey: string }) => app.call('POST', '/auth/logout', { key: apiKey }),
    then: ['access_refused session_required key'],
  },
  {
    name: 'a key from an address that is not allowed',
    given: keyWith({ allowedIps: ['192.0.2.1'] }),
    when: (app, _, { apiKey }: { apiKey: string }) => app.call('GET', '/users/me', { key: apiKey }),
    then: ['access_refused address_not_allowed key'],
  },
  {
    name: 'a scope that a proxy asks for and a key lacks',
    given: keyWith({}),
    when: (app, _, { apiKey }: { apiKey: string }) =>
      app.call('GET', '/auth/verify?scope=invoices:read', { key: apiKey }),
    then: ['access_refused scope_missing key'],
  },
  {
    name: 'a scope that a proxy asks for and a key holds',
    given: keyWith({}),
    when: (app, _, { apiKey }: { apiKey: string }) =>
      app.call('GET', '/auth/verify?scope=users:read', { key: apiKey }),
    then: [],
  },
  {
    name: 'a session where a key is needed',
    when: (app, p) => app.call('POST', '/auth/introspect', { token: p.token, body: { token: 'x' } }),
    then: ['access_refused api_key_required sess'],
  },
  {
    name: 'a good key',
    given: keyWith({}),
    when: (app, _, { apiKey }: { apiKey: string }) => app.call('GET', '/users/me', { key: apiKey }),
    then: [],
  },
  {
    name: 'a scope that the owner lacks',
    given: (app, p) => app.inDatabase((tx) => tx.update('User', { id: p.id }, { scopes: 'users:read' })),
    when: (app, p) => app.call('POST', '/auth/keys', { token: p.token, body: { scopes: ['invoices:read'] } }),
    then: ['access_refused scope_not_held sess'],
  },
  {
    name: 'a sign-in that is too old',
    when: async (app, p) => {
      app.clock.advance(901);
      const answer = await app.call('POST', '/auth/keys', { token: p.token, body: {} });
      app.clock.advance(-901);
      return answer;
    },
    then: ['access_refused recent_login_required sess'],
  },
  {
    name: 'a request that is not valid',
    when: (app, p) => app.call('POST', '/auth/keys', { token: p.token, body: { nickname: 'x' } }),
    then: [],
  },
  {
    name: 'a token that is none',
    when: (app) => app.call('GET', '/users/me', { token: 'not.a.token' }),
    then: [],
  },
  {
    name: 'an account disabled, twice',
    when: async (app, p) => void [await disable(app, p), await disable(app, p)],
    then: ['account_disabled'],
  },
  {
    name: 'an account enabled, twice',
    given: disable,
    when: async (app, p) => {
      for (const _ of [1, 2]) await app.nest.get(AccountService).enable(p.id, operator);
    },
    then: ['account_enabled'],
  },
  {
    name: 'an account deleted',
    given: keyWith({}),
    when: (app, p) => app.call('DELETE', '/users/me', { token: p.token, body: { password: p.password } }),
    then: ['api_key_deleted key', 'account_deleted sess'],
  },
];

describe('the audit trail', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp();
    await sealByHand(app);
  });
  afterAll(() => app.close());

  interface Row {
    id: string;
    type: string;
    reason: string | null;
    credential_id: string | null;
    ip: string;
    user_agent: string | null;
    request_id: string;
    user_id: string;
  }
  /** Every event that there is, of whatever account. */
  const trail = () => app.rows<Row>('SELECT * FROM audit_events ORDER BY id');
  const inWords = ({ type, reason, credential_id }: Row): string =>
    [type, reason, credential_id?.split('_')[0]].filter(Boolean).join(' ');

  it.each(PATHS.map((path) => [path.name, path] as const))(
    'holds exactly what belongs to %s',
    async (_, { given, when, then, ofNobody = [] }) => {
      const person = await newcomer(app);
      const ready = await given?.(app, person);
      const before = new Set((await trail()).map(({ id }) => id));

      const answer = await when(app, person, ready as never);

      const written = (await trail()).filter(({ id }) => !before.has(id));
      const about = (userId: string) => written.filter((row) => row.user_id === userId);
      expect(about(person.id).map(inWords)).toEqual(then);
      expect(about('').map(inWords)).toEqual(ofNobody);
      expect(written).toHaveLength(then.length + ofNobody.length);
      for (const { ip, user_agent, request_id } of written) {
        const origin = { ip, userAgent: user_agent, requestId: request_id };
        const expected = answer ? { ip: '127.0.0.1', userAgent: 'node', requestId: idOf(answer) } : operator;
        expect(origin).toEqual(expected);
      }
    },
  );

  it('holds what belongs to a sign-up', async () => {
    const body = { username: 'fresh.fish', email: 'fish@example.com', password: 'seven dull kettles' };

    const answer = await app.call<{ id: string }>('POST', '/users', { body });

    const rows = (await trail()).filter(({ user_id }) => user_id === answer.body.id);
    expect(rows.map(inWords)).toEqual(['account_created']);
    expect(rows[0]?.request_id).toBe(idOf(answer));
  });

  it('never holds a name that nobody has: it may be a password in the wrong field', async () => {
    await login(app, 'correct-horse-battery-staple', 'x');

    expect(JSON.stringify(await trail())).not.toContain('correct-horse');
  });

  it('holds a bounded number of failures an hour, of an account and of no account', async () => {
    const person = await newcomer(app);
    const failures = async (userId: string) =>
      (await trail()).filter((row) => row.user_id === userId && row.type === 'sign_in_failed').length;
    const attempts = (username: string, count: number) =>
      Promise.all(Array.from({ length: count }, () => login(app, username, 'not the password')));

    // So many fail only where nothing limits them: else it takes as many addresses and accounts.
    await app.restart({ RATE_LIMITS: 'off' });
    for (let round = 0; round < 2; round += 1) await attempts(person.username, MOST_OF_AN_ACCOUNT);
    for (let round = 0; round < 10; round += 1) await attempts('nobody.at.all', MOST_OF_NOBODY / 5);
    await app.restart();
    const [ofAccount, ofNobody] = [await failures(person.id), await failures('')];
    await attempts('nobody.either', 1);
    await attempts(person.username, 1);
    expect([await failures(person.id), await failures('')]).toEqual([ofAccount, ofNobody]);
    app.clock.advance(2 * 3600);
    await attempts(person.username, 1);

    // Of those that come at the same moment each may take the last place.
    expect(ofAccount).toBeGreaterThanOrEqual(MOST_OF_AN_ACCOUNT);
    expect(ofAccount).toBeLessThan(MOST_OF_AN_ACCOUNT + 10);
    expect(ofNobody).toBeGreaterThanOrEqual(MOST_OF_NOBODY);
    expect(ofNobody).toBeLessThan(MOST_OF_NOBODY + 10);
    expect(await failures(person.id)).toBe(ofAccount + 1);
  });

  it('holds a bounded number of refusals an hour', async () => {
    const { token, id } = await newcomer(app);
    const { apiKey } = await createKey(app, token);

    for (let count = 0; count < MOST_OF_AN_ACCOUNT + 5; count += 1) {
      expect((await app.call('GET', '/auth/events', { key: apiKey })).status).toBe(403);
    }

    const refused = (await trail()).filter((row) => row.user_id === id && row.type === 'access_refused');
    expect(refused).toHaveLength(MOST_OF_AN_ACCOUNT);
  });

  it('writes nothing more for refusals beyond those of the hour, and asks again after a minute', async () => {
    const { token, id } = await newcomer(app);
    const { apiKey } = await createKey(app, token);
    const other = await createKey(app, (await newcomer(app)).token);
    const refuse = async (key: string, times = 1) => {
      for (let count = 0; count < times; count += 1) {
        expect((await app.call('GET', '/auth/events', { key })).status).toBe(403);
      }
    };
    const writes = async (work: () => Promise<void>) =>
      (await statementsDuring(app, work)).filter(({ sql }) => /^\s*(INSERT|DELETE)\b.*audit_events/.test(sql))
        .length;
    await refuse(apiKey, MOST_OF_AN_ACCOUNT + 1);

    const beyond = await writes(() => refuse(apiKey, 5));
    const ofAnother = await writes(() => refuse(other.apiKey));
    app.clock.advance(3601);
    app.clock.push(60);
    const later = await writes(() => refuse(apiKey));

    expect(beyond).toBe(0);
    expect([ofAnother, later]).toEqual([2, 2]);
    const refused = (await trail()).filter((row) => row.user_id === id && row.type === 'access_refused');
    expect(refused).toHaveLength(MOST_OF_AN_ACCOUNT + 1);
  });
});
