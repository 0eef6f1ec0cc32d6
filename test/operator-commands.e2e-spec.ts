import { setTimeout as delay } from 'node:timers/promises';
import { And, LessThan, MoreThanOrEqual, Not } from 'typeorm';
import { AccountService } from '../src/auth/account.service';
import { LONGEST_TRANSACTION_MS } from '../src/database/transactions';
import { type Ended, OperatorSessions } from '../src/sessions/operator-sessions';
import { UsersService } from '../src/users/users.service';
import { startApp, MASTER_SECRET, type TestApp } from './support/app';
import { callApi } from './support/call';
import { createDatabase, onMysql, type TestDatabase } from './support/database';
import { bearer } from './support/instances';
import { fillTables } from './support/many-rows';
import { OperatorDesk } from './support/operator-desk';
import {
  createKey,
  eventTypes,
  logIn,
  type LoginBody,
  newcomer,
  type Person,
  sessionIdOf,
  signUp,
  statusWith,
} from './support/people';
import { withFreshFeed, withoutPolls } from './support/polls';
import { quiet } from './support/quiet';
import { type Program, runCommand, settingsFor, startServer } from './support/server-process';
import { accessesOf, searches, statementsDuring, turnsDuring } from './support/statements';

/** Some commands are processes of their own. */
jest.setTimeout(180_000);

/** What a running server may take to learn of a revocation, without Redis. */
const BOUND_MS = 1000;

/** Of each of twenty accounts; `BUSY_SESSIONS` of 15,000 are those of a day of sign-ins without a pause. */
const BUSY_SESSIONS = Number(process.env['BUSY_SESSIONS'] ?? 3_000);

const ORIGIN = { ip: 'command line', userAgent: null, requestId: 'req_of_an_operator' };

describe('what an operator does, while the server runs,', () => {
  let database: TestDatabase;
  let server: Program & { url: string };
  beforeAll(async () => {
    database = await createDatabase();
    server = await startServer(settingsFor(database));
  });
  afterAll(async () => {
    server.signal('SIGTERM');
    await server.exit();
    await database.drop();
  });

  const call = (method: string, path: string, headers: Record<string, string> = {}, body?: object) =>
    callApi(server.url, method, path, headers, body);
  const logInAs = async (username: string, password: string) =>
    call('POST', '/auth/login', {}, { username, password });
  let people = 0;
  const somebody = async () => {
    people += 1;
    const [username, password] = [`person-${people}`, 'nine brass kettles'];
    await call('POST', '/users', {}, { username, email: `${username}@example.com`, password });
    const { body } = await logInAs(username, password);
    return { username, password, token: body['token'] ?? '', refreshToken: body['refreshToken'] ?? '' };
  };
  const latchkey = async (words: string[], input = '') => {
    const { code, stdout, stderr } = await runCommand('latchkey', words, settingsFor(database), input);
    expect([code, stderr]).toEqual([0, '']);
    return stdout;
  };
  /** How long after the command the server still lets somebody in. */
  const lag = async (headers: Record<string, string>): Promise<number> => {
    const begun = performance.now();
    while ((await call('GET', '/users/me', headers)).status === 200)
      if (performance.now() - begun > 3 * BOUND_MS) break;
    return performance.now() - begun;
  };

  /** Keeps the server busy with a credential meanwhile, so that it remembers it when it is revoked. */
  const inUse = async (headers: Record<string, string>, work: () => Promise<unknown>): Promise<void> => {
    let done = false;
    const using = (async () => {
      while (!done) {
        await call('GET', '/users/me', headers);
        await delay(50);
      }
    })();
    await work().finally(() => (done = true));
    await using;
  };

  it('reaches it within a second: one session that he ends, and all of a user', async () => {
    const [one, bystander] = [await somebody(), await somebody()];
    const other = (await logInAs(one.username, one.password)).body['token'] ?? '';

    const single = await latchkey(['session', 'revoke', sessionIdOf({ token: one.token })]);
    expect(await lag(bearer(one.token))).toBeLessThan(BOUND_MS);
    expect((await call('GET', '/users/me', bearer(other))).status).toBe(200);
    const all = await latchkey(['session', 'revoke', '--user', one.username, '--json']);
    expect(await lag(bearer(other))).toBeLessThan(BOUND_MS);

    expect(single).toBe(`Ended ${sessionIdOf({ token: one.token })}.\n`);
    expect(JSON.parse(all)).toEqual({ accounts: 1, sessions: 1 });
    expect((await call('POST', '/auth/refresh', {}, { refreshToken: one.refreshToken })).status).toBe(401);
    expect((await call('GET', '/users/me', bearer(bystander.token))).status).toBe(200);
  });

  it("reaches it within a second: a key that he disables, everybody's sessions, an account that he deletes", async () => {
    const { username, token } = await somebody();
    const made = [
      await call('POST', '/auth/keys', bearer(token), {}),
      await call('POST', '/auth/keys', bearer(token), {}),
    ];
    const [key = {}, second = {}] = made.map(({ body }) => ({ 'x-api-key': body['apiKey'] ?? '' }));
    for (const headers of [key, second]) expect((await call('GET', '/users/me', headers)).status).toBe(200);

    await inUse(key, () => latchkey(['key', 'disable', made[0]?.body['keyId'] ?? '']));
    expect(await lag(key)).toBeLessThan(BOUND_MS);
    expect((await call('GET', '/users/me', second)).status).toBe(200);
    const ended = await latchkey(['session', 'revoke', '--all']);
    expect(await lag(bearer(token))).toBeLessThan(BOUND_MS);
    expect(ended).toMatch(/^Ended \d+ sessions of \d+ users\.\n$/);
    expect(await database.rows('SELECT id FROM sessions WHERE revoked_at IS NULL')).toEqual([]);
    await latchkey(['user', 'delete', username]);
    expect(await lag(second)).toBeLessThan(BOUND_MS);
    expect((await logInAs(username, 'nine brass kettles')).status).toBe(401);
  });

  it('reaches it within a second: a password that he sets, from standard input', async () => {
    const { username, password, token } = await somebody();
    const { body: made } = await call('POST', '/auth/keys', bearer(token), {});
    const key = { 'x-api-key': made['apiKey'] ?? '' };

    const said = await latchkey(['user', 'set-password', username], 'swift otter paints\n');
    expect(await lag(bearer(token))).toBeLessThan(BOUND_MS);

    expect(said).toBe(
      `Set a new password for ${username}; every session has ended. Its API keys stay (--delete-keys deletes them).\n`,
    );
    expect((await call('GET', '/users/me', key)).status).toBe(200);
    expect((await logInAs(username, password)).status).toBe(401);
    expect((await logInAs(username, 'swift otter paints')).status).toBe(200);
    const more = ['user', 'set-password', username, '--delete-keys'];
    expect(await latchkey(more, 'swift otter paints again')).toBe(
      `Set a new password for ${username}; every session has ended. Its API keys are deleted.\n`,
    );
    expect(await lag(key)).toBeLessThan(BOUND_MS);
    expect(JSON.parse(await latchkey([...more, '--json'], 'swift otter paints'))).toMatchObject({
      keysDeleted: true,
    });
    const refused = await runCommand(
      'latchkey',
      ['user', 'set-password', username],
      settingsFor(database),
      'x',
    );
    expect([refused.code, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).toMatch(/no shorter than 8/);
  });

  it('is answered by a sentence of JSON where he asks for it and it fails', async () => {
    const { code, stdout, stderr } = await runCommand(
      'latchkey',
      ['user', 'show', 'nobody', '--json'],
      settingsFor(database),
    );

    expect([code, stdout]).toEqual([1, '']);
    expect(JSON.parse(stderr)).toEqual({ error: "There is no user 'nobody'." });
  });
});

describe('an operator', () => {
  let app: TestApp;
  let desk: OperatorDesk;
  beforeEach(async () => {
    app = await startApp({ AUTH_SECRET: MASTER_SECRET, RATE_LIMITS: 'off' });
    desk = new OperatorDesk(settingsFor(app.database, { AUTH_SECRET: MASTER_SECRET }));
    // The two go by one clock.
    app.clock.advance((Date.now() - app.clock.now().getTime()) / 1000);
  });
  afterEach(async () => {
    await desk.close();
    await app.close();
  });

  const eventsWithReason = (userId: string) =>
    app.rows(
      "SELECT type, reason, credential_id FROM audit_events WHERE user_id = ? AND reason = 'by_operator' ORDER BY id",
      [userId],
    );

  it('leaves an event of whatever he changes, with who did it, also when the account is gone', async () => {
    const { id, username, token } = await newcomer(app);
    const { keyId } = await createKey(app, token);
    const sessionId = sessionIdOf({ token });

    await desk.report('session', 'revoke', sessionId);
    await logIn(app, { username, password: passwordOf(username) });
    await desk.report('session', 'revoke', '--user', username);
    await desk.report('key', 'disable', keyId);
    await desk.report('user', 'delete', id);

    expect(await eventsWithReason(id)).toEqual([
      { type: 'session_ended', reason: 'by_operator', credential_id: sessionId },
      { type: 'sessions_ended', reason: 'by_operator', credential_id: null },
      { type: 'api_key_disabled', reason: 'by_operator', credential_id: keyId },
      { type: 'account_deleted', reason: 'by_operator', credential_id: null },
    ]);
    expect((await eventTypes(app, id)).slice(-2)).toEqual(['api_key_deleted', 'account_deleted']);
    expect(await app.rows('SELECT id FROM users')).toEqual([]);
  });

  it('says so where there was nothing to do, and writes nothing', async () => {
    const { id, token } = await newcomer(app);
    const { keyId } = await createKey(app, token);
    const sessionId = sessionIdOf({ token });
    await desk.report('session', 'revoke', sessionId);
    await desk.report('key', 'disable', keyId);
    const before = await eventTypes(app, id);

    const texts = [
      (await desk.report('session', 'revoke', sessionId)).text,
      (await desk.report('session', 'revoke', '--user', id)).text,
      (await desk.report('session', 'revoke', '--all')).text,
      (await desk.report('key', 'disable', keyId)).text,
    ];

    expect(texts).toEqual([
      `${sessionId} had ended already.`,
      expect.stringMatching(/^Ended 0 sessions of person-\d+\.$/) as string,
      'Ended 0 sessions of 0 users.',
      `${keyId} was disabled already.`,
    ]);
    expect(await eventTypes(app, id)).toEqual(before);
  });

  const setPassword = async (userId: string, keys: 'keep' | 'delete' = 'keep') => {
    const user = await app.nest.get(UsersService).get(userId);
    const origin = { ip: 'command line', userAgent: null, requestId: 'req_of_an_operator' };
    return app.nest.get(AccountService).setPassword(user, 'swift otter paints', keys, origin);
  };

  it.each<[string, (of: Person & LoginBody) => Promise<unknown>]>([
    ['session revoke SESSION', (person) => desk.report('session', 'revoke', sessionIdOf(person))],
    ['session revoke --user', ({ id }) => desk.report('session', 'revoke', '--user', id)],
    ['session revoke --all', () => desk.report('session', 'revoke', '--all')],
    ['user disable', ({ id }) => desk.report('user', 'disable', id)],
    ['user scopes', ({ id }) => desk.report('user', 'scopes', id, 'users:read')],
    ['user set-password', ({ id }) => setPassword(id)],
  ])('tells all instances again by %s of what was committed too late for them to read', async (_, act) => {
    // Of these there is another event for every time.
    const isOfEachTime = (type: string) => ['account_scopes_changed', 'password_changed'].includes(type);
    const person = await newcomer(app);
    const verified = async () =>
      (await app.call('GET', '/auth/verify', { headers: bearer(person.token) })).status;
    const events = async () => (await eventTypes(app, person.id)).filter((type) => !isOfEachTime(type));
    await act(person);
    const before = await events();
    // As it is for an instance that has read past the lines before they were there.
    await app.rows('DELETE FROM revocation_entries');
    await app.restart();
    expect(await withFreshFeed(app, verified)).toBe(200);

    app.clock.advance(1);
    await act(person);

    expect(await withFreshFeed(app, verified)).toBe(401);
    expect(await events()).toEqual(before);
  });

  it('tells all instances again by key disable of what was committed too late for them to read', async () => {
    const { id, token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    const verified = () => statusWith(app, { key: apiKey });
    // As it is for an instance that remembers the key and has read past the line before it was there.
    const stale = await withFreshFeed(app, () =>
      withoutPolls(app, async () => {
        await verified();
        await desk.report('key', 'disable', keyId);
        await app.rows('DELETE FROM revocation_entries');
        return verified();
      }),
    );
    const before = await eventTypes(app, id);

    const again = await desk.report('key', 'disable', keyId);

    expect(stale).toBe(200);
    expect(again.text).toBe(`${keyId} was disabled already.`);
    expect(await app.rows('SELECT subject_id FROM revocation_entries')).toEqual([{ subject_id: keyId }]);
    expect(await withFreshFeed(app, verified)).toBe(401);
    expect(await eventTypes(app, id)).toEqual(before);
  });

  it('goes on with session revoke --all where it was cut short, account by account, in no statement that passes over all of them', async () => {
    const person = await newcomer(app);
    const many = { users: 1_100, sessions: 1_100, analyze: onMysql ? 'ANALYZE TABLE' : 'ANALYZE' };
    await fillTables((sql, values) => app.rows(sql, values), many);
    const longAgo = new Date(app.clock.now().getTime() - 24 * 3600 * 1000);
    await app.inDatabase((tx) =>
      tx.update('Session', { userId: Not(person.id) }, { revokedAt: longAgo, accessEndsAt: longAgo }),
    );
    const ended: Ended[] = [];

    const sent = await statementsDuring(app, async () => {
      for await (const batch of app.nest.get(OperatorSessions).endAll(ORIGIN)) ended.push(batch);
    });

    expect(ended).toEqual([{ accounts: 1, sessions: 1 }]);
    expect(sent.filter(({ sql }) => sql.includes('WHERE user_id > ?'))).toHaveLength(4);
    const plans = await Promise.all(sent.filter(searches).map((statement) => accessesOf(app, statement)));
    expect(plans.flat().filter(({ scans }) => scans)).toEqual([]);
  });

  /** From now on no session of these accounts can be ended, until the trigger `stuck` is dropped. */
  const refuseToEnd = (condition: string) =>
    app.rows(
      `CREATE TRIGGER stuck BEFORE UPDATE ON sessions FOR EACH ROW ${
        onMysql
          ? `IF ${condition} THEN SIGNAL SQLSTATE '45000'; END IF;`
          : `WHEN ${condition} BEGIN SELECT RAISE(ABORT, 'stuck'); END`
      }`,
    );

  it('ends with session revoke --all those of everybody else where one account fails, and names it', async () => {
    const [one, stuck, last] = [await newcomer(app), await newcomer(app), await newcomer(app)];
    await refuseToEnd(`OLD.user_id = '${stuck.id}'`);

    const { text, data, bad } = await desk.report('session', 'revoke', '--all');
    await app.rows('DROP TRIGGER stuck');
    const again = await desk.report('session', 'revoke', '--all');

    expect([data, bad]).toEqual([{ accounts: 2, sessions: 2, failed: [stuck.id] }, true]);
    expect(text).toMatch(
      `Those of ${stuck.id} could not be ended; repeat it. Service temporarily unavailable: `,
    );
    expect(again).toMatchObject({ data: { accounts: 1, sessions: 1, failed: [] } });
    for (const { id } of [one, stuck, last])
      expect((await eventsWithReason(id)).map(({ type }) => type)).toEqual(['sessions_ended']);
    expect(await app.rows('SELECT id FROM sessions WHERE revoked_at IS NULL')).toEqual([]);
  });

  it('is told by session revoke --all how far it came where it gives up, after a hundred accounts in a row', async () => {
    await newcomer(app);
    const many = { users: 200, sessions: 200, analyze: onMysql ? 'ANALYZE TABLE' : 'ANALYZE' };
    await fillTables((sql, values) => app.rows(sql, values), many);
    await refuseToEnd("OLD.user_id >= 'user_00000030' AND OLD.user_id < 'user_00000150'");

    const { text, data, bad } = await desk.report('session', 'revoke', '--all');
    await app.rows('DROP TRIGGER stuck');
    const again = await desk.report('session', 'revoke', '--all');

    const failed = Array.from({ length: 100 }, (_, index) => `user_${String(30 + index).padStart(8, '0')}`);
    const error = expect.stringMatching(/^Service temporarily unavailable: /) as string;
    expect([data, bad]).toEqual([{ accounts: 30, sessions: 30, failed, error }, true]);
    expect(text).toMatch(
      /^Ended 30 sessions of 30 users\. Those of user_00000030, .*, user_00000049 and 80 more could not be ended; repeat it\. It was given up before .* goes on with those that are left\. Service temp/,
    );
    expect(again.data).toEqual({ accounts: 171, sessions: 171, failed: [] });
  });

  it('reaches with session revoke --all everybody else however many fail among them, and again when he repeats it', async () => {
    await newcomer(app);
    const many = { users: 240, sessions: 240, analyze: onMysql ? 'ANALYZE TABLE' : 'ANALYZE' };
    await fillTables((sql, values) => app.rows(sql, values), many);
    await refuseToEnd("OLD.user_id LIKE 'user_0000%' AND OLD.user_id NOT LIKE '%0'");

    const first = await desk.report('session', 'revoke', '--all');
    await newcomer(app);
    const again = await desk.report('session', 'revoke', '--all');

    expect(first).toMatchObject({ data: { accounts: 25, sessions: 25 }, bad: true });
    expect(again).toMatchObject({ data: { accounts: 1, sessions: 1 }, bad: true });
    for (const { data } of [first, again]) expect((data as { failed: string[] }).failed).toHaveLength(216);
  });

  it('reaches with session revoke --all whoever is behind accounts with thousands of sessions that have ended', async () => {
    await newcomer(app);
    const many = { users: 20, sessions: 20 * BUSY_SESSIONS, analyze: onMysql ? 'ANALYZE TABLE' : 'ANALYZE' };
    await fillTables((sql, values) => app.rows(sql, values), many);
    // All but one of each have ended, and an access token of each may still be valid.
    const now = app.clock.now();
    const ended = { revokedAt: now, accessEndsAt: new Date(now.getTime() + 3600 * 1000) };
    const standing = `sess_${String(20).padStart(8, '0')}`;
    for (const { id } of await app.rows<{ id: string }>("SELECT id FROM users WHERE id LIKE 'user_0000%'"))
      await app.inDatabase((tx) =>
        tx.update('Session', { userId: id, id: And(MoreThanOrEqual(standing), LessThan('sess_1')) }, ended),
      );
    const last = await newcomer(app);
    const lasting: number[] = [];
    const total: Ended = { accounts: 0, sessions: 0 };

    let begun = performance.now();
    for await (const batch of app.nest.get(OperatorSessions).endAll(ORIGIN)) {
      lasting.push(performance.now() - begun);
      begun = performance.now();
      total.accounts += batch.accounts;
      total.sessions += batch.sessions;
    }

    expect(total).toEqual({ accounts: 22, sessions: 22 });
    expect(await eventsWithReason(last.id)).toMatchObject([{ type: 'sessions_ended' }]);
    // Each is a transaction, which takes no further account after a second.
    expect(Math.max(...lasting)).toBeLessThan(LONGEST_TRANSACTION_MS);
  }, 240_000);

  it('leaves with session revoke --all as much time to whoever waits for the database as it takes', async () => {
    await newcomer(app);
    const many = { users: 100, sessions: 1_000, analyze: onMysql ? 'ANALYZE TABLE' : 'ANALYZE' };
    await fillTables((sql, values) => app.rows(sql, values), many);
    await quiet(app);
    const total: Ended = { accounts: 0, sessions: 0 };

    const turns = await turnsDuring(app, async () => {
      for await (const batch of app.nest.get(OperatorSessions).endAll(ORIGIN)) {
        total.accounts += batch.accounts;
        total.sessions += batch.sessions;
      }
    });

    expect(total).toEqual({ accounts: 101, sessions: 1_001 });
    expect(turns.length).toBeGreaterThan(4);
    // A timer may go off a moment early.
    for (const { worked, paused } of turns) expect(paused).toBeGreaterThan(Math.max(10, worked) - 2);
  });

  it('writes no lines of the feed for a user who repeats that all sessions shall end', async () => {
    const person = await newcomer(app);
    const other = await logIn(app, person);
    const endOthers = () => app.call('DELETE', '/auth/sessions?keep=current', { token: person.token });
    const lines = () => app.rows('SELECT subject_id FROM revocation_entries ORDER BY position');
    await endOthers();
    const before = await lines();

    const again = await endOthers();

    expect([again.status, before]).toEqual([204, [{ subject_id: sessionIdOf(other) }]]);
    expect(await lines()).toEqual(before);
  });

  it.each<[string, string[], string]>([
    ['a session that is not there', ['session', 'revoke', 'sess_1'], "There is no session 'sess_1'."],
    ['a key that is not there', ['key', 'disable', 'key_1'], "There is no key 'key_1'."],
    ['the key itself in place of its id', ['key', 'disable', 'sk_live_abc'], 'That is the key itself'],
    ['a user who is not there', ['user', 'delete', 'nobody'], "There is no user 'nobody'."],
    ['two targets', ['session', 'revoke', 'sess_1', '--all'], 'Name one of'],
    ['no target', ['session', 'revoke'], 'Name one of'],
    ['no instant', ['user', 'list', '--since', 'yesterday'], "'yesterday' is no instant"],
    ['no day', ['user', 'list', '--since', '2026-02-30'], "'2026-02-30' is no instant"],
    ['two states at once', ['user', 'list', '--enabled', '--disabled'], 'Nobody is'],
    ['another format', ['user', 'import', 'x', '--format', 'xml'], 'not'],
  ])('is refused %s', async (_, line, sentence) => {
    await expect(desk.report(...line)).rejects.toThrow(sentence);
  });

  it('sets a password also of a disabled account, which stays disabled; with its keys if asked', async () => {
    const person = await newcomer(app);
    const { apiKey } = await createKey(app, person.token);
    await desk.report('user', 'disable', person.username);

    const done = await setPassword(person.id, 'delete');

    expect(done).toBe(true);
    const login = { body: { username: person.username, password: 'swift otter paints' } };
    expect((await app.call('POST', '/auth/login', login)).status).toBe(403);
    await desk.report('user', 'enable', person.username);
    expect((await app.call('POST', '/auth/login', login)).status).toBe(200);
    expect(await statusWith(app, { key: apiKey })).toBe(401);
    expect(await eventsWithReason(person.id)).toMatchObject([{ type: 'password_changed' }]);
  });

  it('lists users page by page, all of them once, and by what he asks for', async () => {
    const rows = Array.from({ length: 1203 }, (_, index) => index);
    for (let begin = 0; begin < rows.length; begin += 200) {
      const users = rows.slice(begin, begin + 200).map((index) => storedUser(index));
      await app.inDatabase((tx) => tx.insert('User', users));
    }

    const all = await desk.rows<{ username: string }>('user', 'list');
    const disabled = await desk.rows('user', 'list', '--disabled');
    const recent = await desk.rows('user', 'list', '--since', '2026-02-01', '--enabled');

    expect(new Set(all.map(({ username }) => username)).size).toBe(1203);
    expect(all).toHaveLength(1203);
    expect(disabled).toHaveLength(121);
    expect(recent).toHaveLength(2);
    expect(JSON.stringify(all)).not.toContain('argon2');
    expect(JSON.stringify(await desk.rows('user', 'export'))).not.toContain('argon2');
  });

  it('lists the sessions that stand and the keys, of everybody or of one, and never what opens anything', async () => {
    const [one, other] = [await newcomer(app), await newcomer(app)];
    const again = await logIn(app, { username: one.username, password: passwordOf(one.username) });
    const key = await createKey(app, one.token, { name: 'Billing', scopes: ['users:read'] });
    await desk.report('session', 'revoke', sessionIdOf(one));

    const sessions = await desk.rows<{ id: string; username: string }>('session', 'list');
    const ofOne = await desk.rows('session', 'list', '--user', one.username);
    const keys = await desk.rows('key', 'list');

    expect(sessions.map(({ id }) => id).sort()).toEqual([sessionIdOf(again), sessionIdOf(other)].sort());
    expect(ofOne).toMatchObject([{ id: sessionIdOf(again), username: one.username, ip: '127.0.0.1' }]);
    expect(await desk.rows('session', 'list', '--since', '2999-01-01')).toEqual([]);
    expect(keys).toMatchObject([
      { id: key.keyId, username: one.username, name: 'Billing', state: 'works', scopes: ['users:read'] },
    ]);
    expect(await desk.rows('key', 'list', '--user', other.id)).toEqual([]);
    expect(await desk.rows('key', 'list', '--disabled')).toEqual([]);
    await desk.report('key', 'disable', key.keyId);
    expect(await desk.rows('key', 'list', '--disabled')).toMatchObject([{ state: 'disabled' }]);
    expect((await desk.report('user', 'show', one.username)).data).toMatchObject({ sessions: 1, keys: 1 });
  });

  it('takes what looks like an id for one, even if somebody calls himself so', async () => {
    const victim = await signUp(app);
    const impostor = await signUp(app, { username: victim.id });

    expect((await desk.report('user', 'show', victim.id)).data).toMatchObject({ id: victim.id });
    expect((await desk.report('user', 'show', impostor.id)).data).toMatchObject({ id: impostor.id });
  });

  it('does nothing to whoever is called like the id of an account that is gone', async () => {
    const victim = await signUp(app);
    await desk.report('user', 'delete', victim.id);
    const namesake = await signUp(app, { username: victim.id });
    await logIn(app, namesake);
    const kept = () =>
      Promise.all([
        app.rows('SELECT * FROM users'),
        app.rows('SELECT id, revoked_at FROM sessions'),
        eventTypes(app, namesake.id),
      ]);
    const before = await kept();

    for (const line of [
      ['user', 'scopes', victim.id, 'users:read'],
      ['user', 'disable', victim.id],
      ['session', 'revoke', '--user', victim.id],
      ['user', 'delete', victim.id],
      ['key', 'list', '--user', victim.id],
    ])
      await expect(desk.report(...line)).rejects.toThrow(`There is no user '${victim.id}'.`);

    expect(await kept()).toEqual(before);
    expect((await desk.report('user', 'show', namesake.id)).data).toMatchObject({ username: victim.id });
  });

  const passwordOf = (username: string) => `kettle ${username.split('-')[1]} and brass lantern`;

  const storedUser = (index: number) => ({
    id: `user_${String(index).padStart(26, '0')}`,
    ...{ username: `stored-${index}`, usernameCanonical: `stored-${index}` },
    ...{ email: `stored-${index}@example.com`, emailCanonical: `stored-${index}@example.com` },
    ...{ passwordHash: '$argon2id$', credentialVersion: 1, scopes: '*' },
    disabledAt: index % 10 === 0 ? new Date() : null,
    createdAt: new Date(index > 1199 ? '2026-03-01T00:00:00Z' : '2026-01-01T00:00:00Z'),
  });
});
