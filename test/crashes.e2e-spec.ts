import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Failpoint } from '../src/core/failpoints';
import { createDatabase, type TestDatabase } from './support/database';
import { halfDone } from './support/half-done';
import { HonestClient } from './support/retry-rule';
import { PROOF_TIMEOUT_MS, rounds } from './support/rounds';
import { Program, settingsFor } from './support/server-process';

/** Makes the program that the tests start, and prints where it is. */
const BUNDLE = join(__dirname, 'support', 'bundle-crashing-server.mjs');

/** Clients that are served when the process ends among many calls. */
const CLIENTS = 10;

const PASSWORD = 'the password of all';
const NEW_PASSWORD = 'the password afterwards';
const KEY = 'the-key-of-this-refresh';

interface Reply {
  status: number;
  body: Record<string, string>;
}

interface Request {
  token?: string | undefined;
  headers?: Record<string, string>;
  body?: object;
}

/** Somebody with two sessions. */
interface Somebody {
  id: string;
  username: string;
  token: string;
  refreshToken: string;
  other: Record<string, string>;
}

/** What is done when the process ends at a place, and what must be so afterwards. */
interface Crash {
  /** The call under way. */
  call: (somebody: Somebody) => Promise<unknown>;
  /** Checks, and repeats what a client would. */
  then: (somebody: Somebody) => Promise<void>;
}

/** What was answered to a client. */
interface Life {
  client: HonestClient;
  access: string;
  keys: string[];
  /** Access tokens of sessions that were signed out. */
  ended: string[];
}

/** Where a call that changes something can end. What goes on in the background has tests of its own. */
type PlaceOfACall = Exclude<Failpoint, 'key_lookup:row_read' | `${'import' | 'seal' | 'cleanup'}:${string}`>;

describe('a process that ends in the middle of a call', () => {
  let database: TestDatabase;
  let program: string;
  let server: Program;
  let url: string;

  const start = async (): Promise<void> => {
    // However long the machine takes to start again: it is not the grace that is tested here.
    server = new Program([program], settingsFor(database, { REFRESH_GRACE: '3600', RATE_LIMITS: 'off' }));
    [, url = ''] = await server.says(/ready at (\S+)/);
  };
  beforeAll(async () => {
    program = execFileSync(process.execPath, [BUNDLE], { encoding: 'utf8' });
    database = await createDatabase();
    await start();
  });
  afterAll(async () => {
    server.signal('SIGKILL');
    await server.exit();
    await database.drop();
  });

  const call = async (method: string, path: string, request: Request = {}): Promise<Reply> => {
    const { token, headers, body } = request;
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: (text ? JSON.parse(text) : {}) as Record<string, string> };
  };

  const signUp = (username: string) =>
    call('POST', '/users', { body: { username, email: `${username}@example.com`, password: PASSWORD } });
  const logIn = (username: string, password = PASSWORD) =>
    call('POST', '/auth/login', { body: { username, password } });
  const refresh = (refreshToken: string | undefined, headers: Record<string, string> = {}) =>
    call('POST', '/auth/refresh', { body: { refreshToken }, headers });
  const logOut = (token: string) => call('POST', '/auth/logout', { token });
  const createKey = (token: string) => call('POST', '/auth/keys', { token });
  const changePassword = (token: string) =>
    call('POST', '/users/me/password', {
      token,
      body: { currentPassword: PASSWORD, newPassword: NEW_PASSWORD },
    });
  const deleteAccount = (token: string) =>
    call('DELETE', '/users/me', { token, body: { password: PASSWORD } });
  /** What an access token opens. */
  const opens = async (token: string | undefined) => (await call('GET', '/users/me', { token })).status;

  let count = 0;
  const somebody = async (): Promise<Somebody> => {
    const username = `somebody-${(count += 1)}`;
    const { id = '' } = (await signUp(username)).body;
    const [{ body }, other] = [await logIn(username), await logIn(username)];
    return { id, username, token: '', refreshToken: '', ...body, other: other.body };
  };

  const sessionsOf = ({ id }: Somebody) =>
    database.rows<{ generation: number; reason: string | null }>(
      `SELECT generation, revocation_reason AS reason FROM sessions WHERE user_id = '${id}' ORDER BY id`,
    );

  const worksAgain = async ({ body }: Reply): Promise<void> => {
    expect(await opens(body['token'])).toBe(200);
    expect((await refresh(body['refreshToken'])).status).toBe(200);
  };

  const cases: Record<PlaceOfACall, Crash> = {
    'sign_up:account_written': {
      call: ({ username }) => signUp(`${username}-again`),
      async then({ username }) {
        expect((await signUp(`${username}-again`)).status).toBe(201);
        await worksAgain(await logIn(`${username}-again`));
      },
    },
    'login:password_verified': {
      call: ({ username }) => logIn(username),
      async then(somebody) {
        expect(await sessionsOf(somebody)).toHaveLength(2);
        await worksAgain(await logIn(somebody.username));
      },
    },
    'login:session_written': {
      call: ({ username }) => logIn(username),
      async then(somebody) {
        expect(await sessionsOf(somebody)).toHaveLength(2);
        await worksAgain(await logIn(somebody.username));
      },
    },
    'login:committed': {
      call: ({ username }) => logIn(username),
      async then(somebody) {
        // Its tokens were given to nobody; it lies idle until it ends.
        expect(await sessionsOf(somebody)).toHaveLength(3);
        await worksAgain(await logIn(somebody.username));
      },
    },
    'rotate:row_read': {
      call: ({ refreshToken }) => refresh(refreshToken),
      async then({ refreshToken, token }) {
        expect(await opens(token)).toBe(200);
        await worksAgain(await refresh(refreshToken));
      },
    },
    'rotate:committed': {
      call: ({ refreshToken }) => refresh(refreshToken, { 'Idempotency-Key': KEY }),
      async then(somebody) {
        expect(await sessionsOf(somebody)).toMatchObject([{ generation: 1 }, { generation: 0 }]);
        const [bare, keyed] = [
          await refresh(somebody.refreshToken),
          await refresh(somebody.refreshToken, { 'Idempotency-Key': KEY }),
        ];
        expect(bare.body['refreshToken']).toBe(keyed.body['refreshToken']);
        expect(await sessionsOf(somebody)).toMatchObject([{ generation: 1 }, { generation: 0 }]);
        await worksAgain(keyed);
      },
    },
    'reuse:session_revoked': {
      call: (somebody) => reuse(somebody),
      async then(somebody) {
        expect(await sessionsOf(somebody)).toMatchObject([{ reason: null }, { reason: null }]);
        expect((await refresh(somebody.refreshToken)).status).toBe(401);
        expect(await sessionsOf(somebody)).toMatchObject([
          { reason: 'refresh_token_reused' },
          { reason: null },
        ]);
      },
    },
    'reuse:committed': {
      call: (somebody) => reuse(somebody),
      async then(somebody) {
        expect(await opens(somebody.token)).toBe(401);
        expect((await refresh(somebody.refreshToken)).status).toBe(401);
        await worksAgain({ status: 200, body: somebody.other });
      },
    },
    'logout:session_revoked': {
      call: ({ token }) => logOut(token),
      async then({ token, refreshToken }) {
        expect(await opens(token)).toBe(200);
        expect((await logOut(token)).status).toBe(200);
        expect(await opens(token)).toBe(401);
        expect((await refresh(refreshToken)).status).toBe(401);
      },
    },
    'logout:committed': {
      call: ({ token }) => logOut(token),
      async then({ token, refreshToken }) {
        expect((await logOut(token)).status).toBe(401);
        expect(await opens(token)).toBe(401);
        expect((await refresh(refreshToken)).status).toBe(401);
      },
    },
    'password_change:password_verified': unchanged(),
    'password_change:password_written': unchanged(),
    'password_change:sessions_revoked': unchanged(),
    'password_change:committed': {
      call: ({ token }) => changePassword(token),
      async then({ username, token, refreshToken, other }) {
        expect((await changePassword(token)).status).toBe(403);
        expect((await logIn(username)).status).toBe(401);
        expect((await logIn(username, NEW_PASSWORD)).status).toBe(200);
        expect(await opens(other['token'])).toBe(401);
        expect((await refresh(other['refreshToken'])).status).toBe(401);
        await worksAgain(await refresh(refreshToken));
      },
    },
    'disabling:sessions_revoked': {
      call: ({ id }) => disable(id),
      async then({ username, token }) {
        expect(await opens(token)).toBe(200);
        expect((await logIn(username)).status).toBe(200);
      },
    },
    'disabling:committed': {
      call: ({ id }) => disable(id),
      async then({ username, token, other }) {
        expect((await logIn(username)).status).toBe(403);
        expect(await opens(token)).toBe(401);
        expect((await refresh(other['refreshToken'])).status).toBe(401);
      },
    },
    'deletion:sessions_revoked': {
      call: ({ token }) => deleteAccount(token),
      async then({ token, refreshToken, other }) {
        await worksAgain(await refresh(refreshToken));
        await worksAgain({ status: 200, body: other });
        expect((await deleteAccount(token)).status).toBe(204);
        expect(await opens(token)).toBe(401);
      },
    },
    'deletion:committed': {
      call: ({ token }) => deleteAccount(token),
      async then({ username, token, other }) {
        expect((await deleteAccount(token)).status).toBe(401);
        expect((await refresh(other['refreshToken'])).status).toBe(401);
        expect((await signUp(username)).status).toBe(201);
        expect(await opens(token)).toBe(401);
      },
    },
    'key_creation:key_written': {
      call: ({ token }) => createKey(token),
      async then(somebody) {
        expect(await keysOf(somebody)).toBe(0);
        expect((await createKey(somebody.token)).status).toBe(201);
        expect(await keysOf(somebody)).toBe(1);
      },
    },
    'key_creation:committed': {
      call: ({ token }) => createKey(token),
      async then(somebody) {
        // Nobody ever saw it. Its owner sees that it is there, and can delete it.
        expect(await keysOf(somebody)).toBe(1);
        const { body } = await createKey(somebody.token);
        const headers = { 'x-api-key': body['apiKey'] ?? '' };
        expect((await call('GET', '/users/me', { headers })).status).toBe(200);
      },
    },
    'key_report:secret_found': {
      async call({ token }) {
        const { body } = await createKey(token);
        return call('POST', '/auth/keys/report', { body: { apiKey: body['apiKey'] } });
      },
      async then({ token }) {
        const { body } = await call('GET', '/auth/keys', { token });
        expect(Object.values(body)).toMatchObject([{ enabled: true, reportedAt: null }]);
      },
    },
  };

  /** Whatever it had done is undone, and the whole can be done again. */
  function unchanged(): Crash {
    return {
      call: ({ token }) => changePassword(token),
      async then({ username, token, other }) {
        expect(await opens(other['token'])).toBe(200);
        expect((await logIn(username, NEW_PASSWORD)).status).toBe(401);
        expect((await logIn(username)).status).toBe(200);
        expect((await changePassword(token)).status).toBe(204);
        expect(await opens(other['token'])).toBe(401);
      },
    };
  }

  /** Presents the token that was replaced before the last. */
  async function reuse({ refreshToken }: Somebody): Promise<Reply> {
    const { body } = await refresh(refreshToken);
    await refresh(body['refreshToken']);
    return refresh(refreshToken);
  }

  /** No request can; an operator's command does the same. It never comes back. */
  function disable(id: string): Promise<unknown> {
    server.type(`${id}\n`);
    return server.exit().then(() => Promise.reject(new Error('The process has ended')));
  }

  const keysOf = async ({ token }: Somebody): Promise<number> =>
    Object.keys((await call('GET', '/auth/keys', { token })).body).length;

  it.each(Object.entries(cases))(
    'at %s leaves nothing half done, and a retry recovers',
    async (point, crash) => {
      const victim = await somebody();
      server.type(`${point}\n`);
      await server.says(/deadly/);

      await expect(crash.call(victim)).rejects.toThrow();

      expect(await server.exit()).toBeNull();
      expect(await halfDone(database)).toEqual([]);
      await start();
      await crash.then(victim);
      expect(await halfDone(database)).toEqual([]);
    },
  );

  /** Refreshes by the retry rule and makes keys, until there are no answers any more. Signs the other session out first. */
  const liveOn = async (person: Somebody, answered: () => void): Promise<Life> => {
    const life: Life = {
      client: new HonestClient(person.refreshToken, true),
      ...{ access: person.token, keys: [], ended: [] },
    };
    try {
      await logOut(person.other['token'] ?? '');
      answered();
      life.ended.push(person.other['token'] ?? '');
      for (;;) {
        const attempt = life.client.attempt(0);
        const { body } = await refresh(attempt.token, { 'Idempotency-Key': attempt.key ?? '' });
        answered();
        life.client.take(attempt, body['refreshToken'] ?? '');
        life.access = body['token'] ?? '';
        life.keys.push((await createKey(life.access)).body['apiKey'] ?? '');
        answered();
      }
    } catch {
      return life;
    }
  };

  it(
    'and of many calls at once has kept everything that it answered, and nothing is half done',
    async () => {
      for (let round = 1; round <= rounds(2, 100); round += 1) {
        const people = await Promise.all(Array.from({ length: CLIENTS }, () => somebody()));
        let answers = 0;
        const answered = (): void => {
          answers += 1;
          if (answers === CLIENTS + 7 * round) server.signal('SIGKILL');
        };

        const lives = await Promise.all(people.map((person) => liveOn(person, answered)));

        expect(await server.exit()).toBeNull();
        expect(await halfDone(database)).toEqual([]);
        await start();
        for (const { client, access, keys, ended } of lives) {
          expect(await opens(access)).toBe(200);
          for (const token of ended) expect(await opens(token)).toBe(401);
          for (const key of keys) {
            expect((await call('GET', '/users/me', { headers: { 'x-api-key': key } })).status).toBe(200);
          }
          const { token, key } = client.attempt(0);
          await worksAgain(await refresh(token, { 'Idempotency-Key': key ?? '' }));
        }
      }
    },
    PROOF_TIMEOUT_MS,
  );
});
