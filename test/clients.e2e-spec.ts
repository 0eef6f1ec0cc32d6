import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createProgram,
  flattenDiagnosticMessageText,
  getPreEmitDiagnostics,
  ModuleKind,
  ScriptTarget,
  transpileModule,
} from 'typescript';
import { startApp, type TestApp } from './support/app';
import { gate } from './support/gate';
import { newcomer, signUp } from './support/people';
import { tableRows } from './support/markdown';

const page = readFileSync(join(__dirname, '..', 'docs', 'clients.md'), 'utf8');
const sample = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, text]) => text).join('\n');

interface Kept {
  userId: string;
  refreshToken: string;
  idempotencyKey: string;
}
interface Store {
  read(): Promise<Kept | undefined>;
  write(kept: Kept | undefined): Promise<void>;
  readDeviceToken(): Promise<string | undefined>;
  writeDeviceToken(deviceToken: string): Promise<void>;
}
interface Session {
  signIn(username: string, password: string): Promise<void>;
  signOut(): Promise<void>;
  fetch(path: string, init?: RequestInit): Promise<Response>;
}
/** What the page exports. */
interface Sample {
  Session: new (api: string, store: Store) => Session;
  SignedOut: new () => Error;
  Refused: new (response: Response) => Error;
  browserStore: Store;
}

/** A store whose contents a test can look at. */
class Memory implements Store {
  deviceToken: string | undefined;
  constructor(public kept: Kept | undefined) {}
  readDeviceToken = () => Promise.resolve(this.deviceToken);
  writeDeviceToken = (deviceToken: string) => Promise.resolve(void (this.deviceToken = deviceToken));
  read = () => Promise.resolve(this.kept);
  write = (kept: Kept | undefined) => Promise.resolve(void (this.kept = kept));
}

const failed = (): never => {
  throw new Error('No such session');
};

describe('docs/clients.md', () => {
  let app: TestApp;
  let folder: string;
  let client: Sample;
  /** What was sent, the keys of the refreshes among it, and what happens to the next of them. */
  let requests: Request[];
  let keys: (string | null)[];
  let fates: ((send: () => Promise<Response>) => Promise<Response>)[];
  const { fetch } = globalThis;
  beforeAll(async () => {
    app = await startApp();
    folder = mkdtempSync(join(tmpdir(), 'latchkey-client-'));
    const file = join(folder, 'client.cjs');
    const options = { compilerOptions: { module: ModuleKind.CommonJS, target: ScriptTarget.ES2022 } };
    writeFileSync(file, transpileModule(sample, options).outputText);
    client = createRequire(__filename)(file) as Sample;
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await app.close();
  });
  beforeEach(() => {
    [requests, keys, fates] = [[], [], []];
    globalThis.fetch = (url, init) => {
      const request = new Request(url, init);
      requests.push(request);
      if (!request.url.endsWith('/auth/refresh')) return fetch(url, init);
      keys.push(new Headers(init?.headers).get('Idempotency-Key'));
      const fate = fates.shift() ?? ((send: () => Promise<Response>) => send());
      return fate(() => fetch(url, init));
    };
  });
  afterEach(() => void (globalThis.fetch = fetch));

  /** Somebody who is signed in, with as many tabs as wanted. */
  const open = async (tabs = 1) => {
    const person = await newcomer(app);
    const { id: userId, refreshToken } = person;
    const store = new Memory({ userId, refreshToken, idempotencyKey: randomUUID() });
    const api = `${app.url}/api/v1`;
    const sessions = Array.from({ length: tabs }, () => new client.Session(api, store));
    const look = async (session = sessions[0]) => (await session?.fetch('/users/me'))?.status;
    return { person, store, sessions, look, another: () => new client.Session(api, store) };
  };
  /** Whom the service takes the session for. */
  const nameIn = async (session: Session) =>
    ((await (await session.fetch('/users/me')).json()) as { username: string }).username;
  const lost = async (send: () => Promise<Response>): Promise<Response> => {
    await send();
    throw new TypeError('the answer is lost');
  };

  it('shows code that compiles as it stands, strictly', () => {
    const file = join(folder, 'client.ts');
    writeFileSync(file, sample);
    const program = createProgram([file], {
      ...{ strict: true, noEmit: true, target: ScriptTarget.ES2022, types: [] },
      lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    });

    const faults = getPreEmitDiagnostics(program).map(({ messageText }) =>
      flattenDiagnosticMessageText(messageText, '\n'),
    );

    expect(faults).toEqual([]);
  }, 60_000);

  it('renews the access token once for all calls that need it, and keeps the next refresh token', async () => {
    const { store, look, person } = await open();

    const first = await Promise.all([look(), look(), look()]);
    const afterTheFirst = { ...store.kept };
    app.clock.advance(3600);
    const second = await Promise.all([look(), look(), look()]);

    expect([first, second]).toEqual([
      [200, 200, 200],
      [200, 200, 200],
    ]);
    expect(new Set(keys).size).toBe(2);
    expect(keys).toHaveLength(2);
    const tokens = [person.refreshToken, afterTheFirst.refreshToken, store.kept?.refreshToken];
    expect(new Set(tokens).size).toBe(3);
  });

  it('repeats a refresh whose answer is lost with the same key, also in an app that was killed and comes back later', async () => {
    const { store, look, another } = await open();
    fates.push(lost, () => new Promise(() => undefined));

    // Repeats it once, and is killed while it waits.
    void look();
    while (keys.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    app.clock.advance(3600);
    const status = await look(another());

    expect(status).toBe(200);
    expect([keys.length, new Set(keys).size]).toEqual([3, 1]);
    expect(keys).not.toContain(store.kept?.idempotencyKey);
  });

  it('waits and repeats after a 429 and a 503, and keeps its tokens', async () => {
    const { look } = await open();
    const answer = (status: number) => () =>
      Promise.resolve(new Response('<html>', { status, headers: { 'Retry-After': '1' } }));
    fates.push(answer(503), answer(429));
    const begun = performance.now();

    const status = await look();

    expect(status).toBe(200);
    expect([keys.length, new Set(keys).size]).toEqual([3, 1]);
    // What is measured is the wait itself.
    expect(performance.now() - begun).toBeGreaterThan(1900);
  });

  it('lets two tabs refresh at once and lose both answers for longer than the grace', async () => {
    const { sessions, look } = await open(2);
    fates.push(lost, () => Promise.reject(new TypeError('nobody is there')));

    const looks = sessions.map((session) => look(session));
    while (keys.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    app.clock.advance(60);

    expect(await Promise.all(looks)).toEqual([200, 200]);
    expect(keys[0]).toBe(keys[1]);
  });

  it.each([
    ['a page of another program', () => Response.json({ message: 'maintenance' })],
    ['a page that is no JSON', () => new Response('<html>')],
    ["a proxy's own 401", () => new Response('<html>', { status: 401 })],
    ["a proxy's 408", () => new Response('<html>', { status: 408 })],
  ])('loses no refresh token to %s, and repeats the refresh', async (_, answer) => {
    const { store, look } = await open();
    const before = store.kept?.refreshToken;
    fates.push(() => Promise.resolve(answer()));

    const status = await look();

    expect(status).toBe(200);
    expect([keys.length, new Set(keys).size]).toEqual([2, 1]);
    expect(store.kept?.refreshToken).toMatch(/^rt_/);
    expect(store.kept?.refreshToken).not.toBe(before);
  });

  it('lets two tabs refresh at once, and a late answer replaces no newer token', async () => {
    const { sessions, look } = await open(2);
    const held = gate();
    fates.push(async (send) => {
      const response = await send();
      await held.opened;
      return response;
    });

    const slow = look(sessions[0]);
    while (keys.length < 1) await new Promise((resolve) => setTimeout(resolve, 10));
    const fast = await look(sessions[1]);
    app.clock.advance(3600);
    const again = await look(sessions[1]);
    // The grace of that is over, and the access token that the slow tab is about to get has expired.
    app.clock.advance(60);
    held.open();
    const late = await slow;

    expect([fast, again, late]).toEqual([200, 200, 200]);
    expect(keys).toHaveLength(4);
  });

  it('throws the refresh token away and has the user sign in when the session has ended', async () => {
    const { store, look, person } = await open();
    await look();
    await app.call('POST', '/auth/logout', { token: person.token });

    const reason = await look().catch((error: unknown) => error);

    expect(reason).toBeInstanceOf(client.SignedOut);
    expect(String(reason)).toBe('SignedOut: The session is over: let the user sign in');
    expect(store.kept).toBeUndefined();
  });

  it('goes on as whoever has signed in last', async () => {
    const { store, sessions, person } = await open();
    const [session = failed()] = sessions;
    const next = await signUp(app);
    const first = await nameIn(session);

    await session.signIn(next.username, next.password);
    const second = await nameIn(session);
    app.clock.advance(3600);
    const refreshed = await nameIn(session);

    expect([first, second, refreshed]).toEqual([person.username, next.username, next.username]);
    expect(store.kept?.userId).toBe(next.id);
  });

  it('lets what one user has begun not be done as another, whose tokens stay', async () => {
    const { store, sessions, look } = await open();
    const [session = failed()] = sessions;
    const next = await signUp(app);
    const held = gate();
    fates.push(async (send) => {
      const response = await send();
      await held.opened;
      return response;
    });

    const begun = look().catch((error: unknown) => error);
    while (keys.length < 1) await new Promise((resolve) => setTimeout(resolve, 10));
    await session.signIn(next.username, next.password);
    const kept = store.kept;
    held.open();
    const outcome = await begun;

    expect(outcome).toBeInstanceOf(client.SignedOut);
    expect(store.kept).toEqual(kept);
    expect(await nameIn(session)).toBe(next.username);
  });

  it('repeats no call of one user with the token of another', async () => {
    const { sessions, person } = await open();
    const [session = failed()] = sessions;
    await nameIn(session);
    const next = await signUp(app);
    await app.call('POST', '/auth/logout', { token: person.token });
    const { fetch: counted } = globalThis;
    const held = gate();
    globalThis.fetch = async (url, init) => {
      globalThis.fetch = counted;
      const response = await counted(url, init);
      await held.opened;
      return response;
    };

    const begun = nameIn(session).catch((error: unknown) => error);
    await session.signIn(next.username, next.password);
    held.open();
    const outcome = await begun;

    expect(outcome).toBeInstanceOf(client.SignedOut);
  });

  it('is signed out in a tab when somebody else has signed in in another', async () => {
    const { store, sessions } = await open(2);
    const [idle = failed(), busy = failed()] = sessions;
    await nameIn(idle);
    const next = await signUp(app);

    await busy.signIn(next.username, next.password);
    app.clock.advance(3600);
    const outcome = await nameIn(idle).catch((error: unknown) => error);
    await idle.signOut();

    expect(outcome).toBeInstanceOf(client.SignedOut);
    expect(store.kept?.userId).toBe(next.id);
    expect(await nameIn(busy)).toBe(next.username);
  });

  it('ends the session when it signs out, also with an access token that has expired', async () => {
    const { store, sessions, look } = await open();
    const [session = failed()] = sessions;
    const outcomes = [];

    for (const seconds of [0, 3600]) {
      const person = await signUp(app);
      await session.signIn(person.username, person.password);
      const { refreshToken } = store.kept ?? {};
      app.clock.advance(seconds);
      await session.signOut();
      const later = await app.call('POST', '/auth/refresh', { body: { refreshToken } });
      outcomes.push([store.kept, later.status, await look().catch((error: unknown) => String(error))]);
    }

    const over = [undefined, 401, expect.stringMatching(/^SignedOut/)];
    expect(outcomes).toEqual([over, over]);
  });

  it('signs out where it is also when the server cannot be told, and says so', async () => {
    const { store, sessions } = await open();
    const [session = failed()] = sessions;
    await nameIn(session);
    const { fetch: counted } = globalThis;
    globalThis.fetch = () => Promise.reject(new TypeError('nobody is there'));

    const signedOut = session.signOut();

    await expect(signedOut).rejects.toThrow('nobody is there');
    globalThis.fetch = counted;
    expect(store.kept).toBeUndefined();
    await expect(nameIn(session)).rejects.toBeInstanceOf(client.SignedOut);
  });

  it('keeps the device token over refreshes and signing out, shows it with the next sign-in and keeps the one it gets', async () => {
    const [person, other] = [await signUp(app), await signUp(app)];
    const items = new Map<string, string>();
    const localStorage = {
      getItem: (name: string) => items.get(name) ?? null,
      setItem: (name: string, value: string) => void items.set(name, value),
      removeItem: (name: string) => void items.delete(name),
    };
    Object.defineProperty(globalThis, 'localStorage', { value: localStorage, configurable: true });
    const session = new client.Session(`${app.url}/api/v1`, client.browserStore);
    const deviceToken = () => client.browserStore.readDeviceToken();

    await session.signIn(person.username, person.password);
    const first = await deviceToken();
    app.clock.advance(3600);
    await nameIn(session);
    const afterRefresh = await deviceToken();
    await session.signOut();
    const [afterSignOut, kept] = [await deviceToken(), await client.browserStore.read()];
    await session.signIn(person.username, person.password);
    await session.signIn(other.username, other.password);
    const ofTheOther = await deviceToken();

    const shown = await Promise.all(
      requests
        .filter(({ url }) => url.endsWith('/auth/login'))
        .map(async (request) => ((await request.json()) as { deviceToken?: string }).deviceToken),
    );
    expect(first).toMatch(/^dt_/);
    expect([afterRefresh, afterSignOut, kept]).toEqual([first, first, undefined]);
    expect(shown).toEqual([undefined, first, first]);
    expect(ofTheOther).toMatch(/^dt_/);
    expect(ofTheOther).not.toBe(first);
  });

  it('leaves everything as it is when a sign-in is refused, and says why', async () => {
    const { store, sessions, person } = await open();
    const [session = failed()] = sessions;
    const before = store.kept;

    const refused = session.signIn(person.username, 'not the password');

    await expect(refused).rejects.toBeInstanceOf(client.Refused);
    await expect(refused).rejects.toMatchObject({ status: 401, code: 'invalid_credentials' });
    expect(store.kept).toEqual(before);
    expect(await nameIn(session)).toBe(person.username);
  });

  it('sends a token to no other origin, however it is asked to', async () => {
    const store = new Memory({ userId: 'user_of_it', refreshToken: 'rt_of_it', idempotencyKey: 'key_of_it' });
    const sent: Request[] = [];
    // Without a path, what comes behind could be taken for more of the name.
    const session = new client.Session('http://127.0.0.1', store);
    globalThis.fetch = (url, init) => {
      sent.push(new Request(url, init));
      return Promise.resolve(Response.json({ token: 'a.b.c', refreshToken: 'rt_next' }));
    };

    const paths = [
      'https://evil.example/',
      '.evil.example/',
      '@evil.example/',
      ':1@evil.example/',
      'users/me',
    ];
    const outcomes = await Promise.allSettled(paths.map((path) => session.fetch(path)));
    for (const path of ['//evil.example/', '/\\evil.example/', '/@evil.example/']) await session.fetch(path);

    expect(outcomes.map(({ status }) => status)).toEqual(paths.map(() => 'rejected'));
    expect([...new Set(sent.map(({ url }) => new URL(url).origin))]).toEqual(['http://127.0.0.1']);
    expect(sent.filter(({ headers }) => headers.has('authorization'))).toHaveLength(3);
  });

  it('lists the headers that a page may read and send, and no other', async () => {
    const origin = 'http://localhost:5173';
    const answer = await app.fetch('/api/v1/users/me', { headers: { origin } });
    const preflight = await app.fetch('/api/v1/users/me', {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'GET' },
    });

    const rows = tableRows(page.slice(page.indexOf('| Header'), page.indexOf('It may send')));
    const readable = rows.flatMap(([names = '']) => names.replaceAll('`', '').split(', '));
    const sendable = /It may send ([^.]+)\./.exec(page)?.[1]?.match(/(?<=`)[\w-]+(?=`)/g) ?? [];
    const headersOf = (response: Response, name: string) =>
      (response.headers.get(name) ?? '').split(/, */).sort();
    expect(readable.sort()).toEqual(headersOf(answer, 'access-control-expose-headers'));
    expect(sendable.sort()).toEqual(headersOf(preflight, 'access-control-allow-headers'));
  });
});
