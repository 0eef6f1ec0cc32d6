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
import { newcomer } from './support/people';
import { tableRows } from './support/markdown';

const page = readFileSync(join(__dirname, '..', 'docs', 'clients.md'), 'utf8');
const sample = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, text]) => text).join('\n');

interface Kept {
  refreshToken: string;
  idempotencyKey?: string;
}
interface Store {
  read(): Promise<Kept | undefined>;
  write(kept: Kept | undefined): Promise<void>;
}
/** What the page exports. */
interface Sample {
  Session: new (api: string, store: Store) => { fetch(url: string, init?: RequestInit): Promise<Response> };
  SignedOut: new () => Error;
}

/** A store whose contents a test can look at. */
class Memory implements Store {
  constructor(public kept: Kept | undefined) {}
  read = () => Promise.resolve(this.kept);
  write = (kept: Kept | undefined) => Promise.resolve(void (this.kept = kept));
}

describe('docs/clients.md', () => {
  let app: TestApp;
  let folder: string;
  let client: Sample;
  /** The keys of the refreshes that were sent, and what happens to the next of them. */
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
    [keys, fates] = [[], []];
    globalThis.fetch = (url, init) => {
      if (!new Request(url, init).url.endsWith('/auth/refresh')) return fetch(url, init);
      keys.push(new Headers(init?.headers).get('Idempotency-Key'));
      const fate = fates.shift() ?? ((send: () => Promise<Response>) => send());
      return fate(() => fetch(url, init));
    };
  });
  afterEach(() => void (globalThis.fetch = fetch));

  /** Somebody who is signed in, with as many tabs as wanted. */
  const open = async (tabs = 1) => {
    const person = await newcomer(app);
    const store = new Memory({ refreshToken: person.refreshToken });
    const api = `${app.url}/api/v1`;
    const sessions = Array.from({ length: tabs }, () => new client.Session(api, store));
    const look = async (session = sessions[0]) => (await session?.fetch(`${api}/users/me`))?.status;
    return { person, store, sessions, look, another: () => new client.Session(api, store) };
  };
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
    expect(store.kept?.idempotencyKey).toBeUndefined();
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

  it('lets two tabs refresh at once, and a late answer replaces no newer token', async () => {
    const { sessions, look } = await open(2);
    let goOn: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (goOn = resolve));
    fates.push(async (send) => {
      const response = await send();
      await held;
      return response;
    });

    const slow = look(sessions[0]);
    while (keys.length < 1) await new Promise((resolve) => setTimeout(resolve, 10));
    const fast = await look(sessions[1]);
    app.clock.advance(3600);
    const again = await look(sessions[1]);
    // The grace of that is over, and the access token that the slow tab is about to get has expired.
    app.clock.advance(60);
    goOn();
    const late = await slow;

    expect([fast, again, late]).toEqual([200, 200, 200]);
    expect(keys).toHaveLength(4);
  });

  it('throws the refresh token away and has the user sign in when the session has ended', async () => {
    const { store, look, person } = await open();
    await look();
    await app.call('POST', '/auth/logout', { token: person.token });

    await expect(look()).rejects.toBeInstanceOf(client.SignedOut);

    expect(store.kept).toBeUndefined();
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
