import { readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MASTER_SECRET } from './support/app';
import { createDatabase, onMysql, type TestDatabase } from './support/database';
import { Program, settingsFor } from './support/server-process';

const root = join(__dirname, '..');
const WATCH = join(__dirname, 'support', 'watched-runtime.cjs');
const NODE = Number(process.versions.node.split('.')[0]);

/** Where the bindings look which C library there is. */
const TELL_C_LIBRARY = ['/usr/bin/ldd', '/etc/alpine-release'];

/** What a hardened start of the service is given, as docs/operations.md has it. */
const flagsFor = (folders: string[]): string[] => [
  '--disable-proto=delete',
  // Before Node 22 the permission model allows no native code, and there would be neither SQLite nor Argon2.
  ...(NODE >= 22
    ? [
        ...['--permission', '--allow-worker', '--allow-addons', `--allow-fs-read=${root}/`],
        '--allow-fs-read=/etc/alpine-release',
        ...folders.flatMap((folder) => [`--allow-fs-read=${folder}/`, `--allow-fs-write=${folder}/`]),
      ]
    : []),
];

describe('a hardened runtime', () => {
  let database: TestDatabase;
  let server: Program;
  let url: string;
  let flags: string[];
  let folders: string[];
  beforeAll(async () => {
    database = await createDatabase();
    folders = onMysql ? [] : [realpathSync(dirname(database.url.slice('sqlite:'.length)))];
    flags = flagsFor(folders);
    const settings = settingsFor(database, { AUTH_SECRET: MASTER_SECRET, LOG_LEVEL: 'debug' });
    server = new Program(
      [...flags, '--require', WATCH, realpathSync(join(root, 'dist', 'main.js'))],
      settings,
    );
    [, url = ''] = await server.says(/Docs\s+(http:\/\/[\d.:]+)\/docs[\s\S]*Ctrl\+C/);
  }, 120_000);
  afterAll(async () => {
    // Still there only if a test has failed.
    server.signal('SIGKILL');
    await server.exit();
    await database.drop();
  });

  const call = async (method: string, path: string, headers: Record<string, string> = {}, body?: unknown) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') ?? false;
    return {
      status: response.status,
      body: (isJson && text !== '' ? JSON.parse(text) : {}) as Record<string, string>,
    };
  };
  const api = (method: string, path: string, headers: Record<string, string> = {}, body?: unknown) =>
    call(method, `/api/v1${path}`, headers, body);

  it('is enough: nothing makes code out of text, starts a program, leaves its folders or connects to others, whatever is asked', async () => {
    const account = { username: 'hardened', password: 'nine brass kettles' };
    const before = server.stderr.length;
    const statuses: number[] = [];
    const note = <T extends { status: number }>(answer: T): T => {
      statuses.push(answer.status);
      return answer;
    };

    note(await api('POST', '/users', {}, { ...account, email: 'hardened@example.com' }));
    const { body: login } = note(await api('POST', '/auth/login', {}, account));
    const bearer = { authorization: `Bearer ${login['token']}` };
    note(await api('POST', '/auth/refresh', {}, { refreshToken: login['refreshToken'] }));
    note(await api('GET', '/users/me', bearer));
    note(await api('PATCH', '/users/me', bearer, { email: 'other@example.com' }));
    const { body: key } = note(
      await api('POST', '/auth/keys', bearer, { scopes: ['introspect', 'users:read'] }),
    );
    const withKey = { 'x-api-key': key['apiKey'] ?? '' };
    note(await api('GET', '/users/me', withKey));
    note(await api('GET', '/auth/verify', withKey));
    note(await api('POST', '/auth/introspect', withKey, { token: login['token'] }));
    note(await api('GET', '/auth/keys', bearer));
    note(await api('PATCH', `/auth/keys/${key['keyId']}`, bearer, { name: 'Renamed' }));
    note(await api('GET', `/auth/keys/${key['keyId']}/explain?scope=a:b`, bearer));
    note(await api('POST', `/auth/keys/${key['keyId']}/rotate`, bearer, {}));
    note(await api('GET', '/auth/sessions', bearer));
    note(await api('GET', '/auth/events', bearer));
    const newPassword = 'swift otter paints';
    const change = { currentPassword: account.password, newPassword };
    note(await api('POST', '/users/me/password', bearer, change));
    for (const path of ['/docs', '/openapi.json', '/health/ready']) note(await call('GET', path));
    const right = statuses.splice(0);
    note(await api('POST', '/auth/login', {}, account));
    note(await api('POST', '/auth/login', {}, '{"__proto__":{"admin":true}}'));
    note(await api('POST', '/auth/login', {}, { username: 1 }));
    note(await api('GET', '/nowhere'));
    note(await api('GET', '/users/me', { authorization: 'Bearer not.a.token' }));
    const wrong = statuses.splice(0);
    note(await api('DELETE', '/users/me', bearer, { password: newPassword }));
    server.signal('SIGTERM');

    expect(await server.exit()).toBe(0);
    expect(right.filter((status) => status >= 300)).toEqual([]);
    expect(wrong).toEqual([401, 400, 400, 404, 401]);
    expect(statuses).toEqual([204]);
    const watched = (text: string) => text.split('\n').filter((line) => line.startsWith('WATCHED'));
    expect(watched(server.stderr.slice(before))).toEqual([]);
    const touched = (kind: string) =>
      server.stderr
        .split('\n')
        .flatMap((line) => (line.startsWith(`${kind} `) ? [line.slice(kind.length + 1)] : []));
    const within = (folder: string, path: string) => path === folder || path.startsWith(`${folder}/`);
    const isOutside = (path: string) => ![root, ...folders].some((folder) => within(folder, path));
    expect(touched('READ').length).toBeGreaterThan(0);
    expect(
      touched('READ')
        .filter(isOutside)
        .filter((path) => !TELL_C_LIBRARY.includes(path)),
    ).toEqual([]);
    expect(touched('WRITTEN').filter((path) => !folders.some((folder) => within(folder, path)))).toEqual([]);
    const opened = server.stderr.split('\n').filter((line) => line.startsWith('OPENED'));
    const { host } = new URL(database.url.replace('sqlite:', 'file:'));
    expect([...new Set(opened)]).toEqual(onMysql ? [`OPENED ${host}`] : []);
    // The watch is there: while it starts, the router is made.
    expect(watched(server.stderr.slice(0, before)).length).toBeGreaterThan(0);
    expect(server.stdout).not.toMatch(/ERR_ACCESS_DENIED|"level":"error"/);
  }, 60_000);

  it('stores passwords at what a hash costs in service', async () => {
    const program = new Program(
      [...flags, realpathSync(join(root, 'dist', 'main.js'))],
      settingsFor(database, { AUTH_SECRET: MASTER_SECRET }),
    );
    [, url = ''] = await program.says(/Docs\s+(http:\/\/[\d.:]+)\/docs[\s\S]*Ctrl\+C/);

    await api(
      'POST',
      '/users',
      {},
      {
        username: 'in.service',
        email: 'in.service@example.com',
        password: 'nine brass kettles',
      },
    );

    const rows = await database.rows<{ password_hash: string }>(
      "SELECT password_hash FROM users WHERE username = 'in.service'",
    );
    program.signal('SIGTERM');
    await program.exit();
    expect(rows.map(({ password_hash }) => password_hash)).toEqual([
      expect.stringMatching(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/),
    ]);
  });

  it('is what operators are told', () => {
    const page = readFileSync(join(root, 'docs', 'operations.md'), 'utf8');

    for (const flag of ['--disable-proto=delete', '--permission', '--allow-worker', '--allow-addons'])
      expect(page).toContain(flag);
    expect(readFileSync(join(root, 'Dockerfile'), 'utf8')).toContain('"--disable-proto=delete"');
  });
});
