import { ApiKey } from '../src/api-keys/api-key.entity';
import { entities } from '../src/entities';
import { Session } from '../src/sessions/session.entity';
import { User } from '../src/users/user.entity';
import { startApp, type TestApp } from './support/app';
import { type DocumentedOperation, operations, requestExample, requestSchema } from './support/contract';
import { createKey, logIn, newcomer, type LoginBody, type Person } from './support/people';

const withBody = operations.filter((of) => requestExample(of) !== undefined);
const named = withBody.map((of): [string, DocumentedOperation] => [of.id, of]);

/** Whether `null` is a value of its own in that field, as the document has it: it takes a limit away. */
function takesNull(of: DocumentedOperation, field: string): boolean {
  const { type } = requestSchema(of)[field] as { type?: string | string[] };
  return [type].flat().includes('null');
}

/** With an id of the right form: one of any other is answered 404 whatever the body holds. */
const withKeyId = (path: string): string => path.replace('{keyId}', 'key_01k9v3d4s7e9waxm8p2q5c6nbr');

describe('a JSON body', () => {
  let app: TestApp;
  let person: Person & LoginBody;
  let apiKey: string;
  beforeAll(async () => {
    app = await startApp({ RATE_LIMITS: 'off' });
    person = await newcomer(app);
    ({ apiKey } = await createKey(app, person.token, { scopes: ['introspect'] }));
  });
  afterAll(() => app.close());

  /** What lets a caller through to the body: at the introspection a key, anywhere else a session. */
  const credentialFor = (path: string): Record<string, string> =>
    path.endsWith('/auth/introspect') ? { 'x-api-key': apiKey } : { authorization: `Bearer ${person.token}` };

  const send = async (path: string, body: string | Uint8Array, method = 'POST') => {
    const response = await app.fetch(withKeyId(path), {
      method,
      headers: { 'content-type': 'application/json', ...credentialFor(path) },
      body,
    });
    const answer = (await response.json()) as Record<string, unknown>;
    return [response.status, response.headers.get('x-error-code'), answer['error']];
  };

  const TOO_COMPLEX = [
    400,
    'json_too_complex',
    'The request body is nested too deeply or holds too many values',
  ];
  const MALFORMED = [400, 'malformed_json', 'The request body is not valid JSON'];

  it.each([
    ['64 KiB of brackets', '['.repeat(32_768) + ']'.repeat(32_768)],
    ['64 KiB of brackets that never close', '['.repeat(65_536)],
    ['a field that is 60 KiB of brackets', `{"username":${'['.repeat(30_000)}${']'.repeat(30_000)}}`],
    ['ten thousand objects in each other', `{"username":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`],
    ['nine levels', `${'['.repeat(9)}${']'.repeat(9)}`],
    [
      'six thousand members',
      JSON.stringify(Object.fromEntries(Array.from({ length: 6000 }, (_, n) => [`k${n}`, 1]))),
    ],
    ['thirty thousand entries', JSON.stringify({ scopes: Array(30_000).fill(0) })],
    ['ten thousand members of one name', `{${'"a":1,'.repeat(9_000)}"a":1}`],
  ])('is refused before it is read when it is %s', async (_, body) => {
    expect(await send('/api/v1/auth/login', body)).toEqual(TOO_COMPLEX);
    expect(await send('/api/v1/auth/keys', body)).toEqual(TOO_COMPLEX);
  });

  it('of 64 KiB costs little, whatever it is made of', async () => {
    const bodies = [
      '['.repeat(65_536),
      `{"username":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
      `{${'"a":1,'.repeat(9_000)}"a":1}`,
      `{"a":"${'\\"'.repeat(32_000)}"}`,
      `"${'\\'.repeat(65_534)}`,
      `{"refreshToken":"${'"'.repeat(32_000)}`,
    ];
    for (const body of bodies) await send('/api/v1/auth/refresh', body);
    const begun = process.cpuUsage();
    for (let round = 0; round < 20; round += 1) {
      for (const body of bodies) await send('/api/v1/auth/refresh', body);
    }
    const { user, system } = process.cpuUsage(begun);

    // The client's share is in it too. Unbounded, one of the second kind alone took 300 ms.
    expect((user + system) / 1000 / (20 * bodies.length)).toBeLessThan(30);
  });

  it('has no text normalized that is longer than a name can be, since that takes time by its square', async () => {
    // Marks above and below, which are put in order by moving each past all of the others.
    const marks = `a@${'\u0305'.repeat(16_000)}${'\u0334'.repeat(16_000)}`.slice(0, 30_000);
    const lengths: number[] = [];
    // eslint-disable-next-line @typescript-eslint/unbound-method
    const { normalize } = String.prototype;
    String.prototype.normalize = function (form) {
      lengths.push(this.length);
      return normalize.call(this, form);
    };
    try {
      for (const of of withBody) {
        for (const field of Object.keys(requestSchema(of))) {
          const [status] = await send(
            of.path,
            JSON.stringify({ ...(requestExample(of) as object), [field]: marks }),
            of.method.toUpperCase(),
          );
          expect(status).toBeLessThan(500);
        }
      }
    } finally {
      String.prototype.normalize = normalize;
    }

    expect(lengths.length).toBeGreaterThan(0);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(512);
  });

  it('may be a form where forms are read, of 64 fields and no more, whoever sends it', async () => {
    const send = async (form: string) => {
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      const begun = process.cpuUsage();
      const response = await app.fetch('/api/v1/auth/introspect', { method: 'POST', headers, body: form });
      await response.arrayBuffer();
      const { user, system } = process.cpuUsage(begun);
      return [response.status, response.headers.get('x-error-code'), (user + system) / 1000] as const;
    };
    const fields = (count: number) => Array.from({ length: count }, (_, n) => `${n.toString(36)}=`).join('&');

    expect((await send(fields(64))).slice(0, 2)).toEqual([401, 'authentication_required']);
    for (const form of [
      fields(65),
      fields(13_000).slice(0, 65_000),
      'a&'.repeat(32_000),
      '&'.repeat(65_000),
    ]) {
      const [status, code, milliseconds] = await send(form);

      // Unbounded, the second alone took 3,500 ms.
      expect([status === 400 ? code : status, milliseconds < 500]).toEqual([
        form.startsWith('&') ? 401 : 'json_too_complex',
        true,
      ]);
    }
  });

  it('counts no brackets, commas and colons within its strings', async () => {
    const username = `${'[{,:\\"'.repeat(42)}x`;

    expect(await send('/api/v1/auth/login', `{"username":"${username}","password":"x"}`)).toEqual([
      401,
      'user_not_found',
      'User not found',
    ]);
  });

  it.each([
    ['a member twice', '{"username":"a","username":"b","password":"c"}'],
    ['a member twice, once escaped', '{"username":"a","user\\u006eame":"b","password":"c"}'],
    ['a member twice, further in', '{"username":{"a":1,"a":2},"password":"c"}'],
    ['a byte order mark', '\uFEFF{"username":"a","password":"b"}'],
    ['UTF-16', Buffer.from('{"username":"a","password":"b"}', 'utf16le')],
    ['a comment', '{"username":"a",/* b */"password":"c"}'],
    ['two values', '{"username":"a","password":"b"}{}'],
    ['NaN', '{"username":NaN,"password":"b"}'],
    ['a leading zero', '{"username":01,"password":"b"}'],
    ['a line break in a string', '{"username":"a\n","password":"b"}'],
    ['a NUL behind it', '{"username":"a","password":"b"}\0'],
    ['an unfinished escape', '{"username":"\\u00","password":"b"}'],
    ['a prototype', '{"username":"a","password":"b","__proto__":{"admin":true}}'],
    ['a prototype, escaped', '{"username":"a","password":"b","\\u005f_proto__":{"admin":true}}'],
    ['a prototype, further in', '{"username":{"__proto__":{"admin":true}},"password":"b"}'],
    ['the prototype of a constructor', '{"username":"a","constructor":{"prototype":{"admin":true}}}'],
  ])('with %s is malformed', async (_, body) => {
    expect(await send('/api/v1/auth/login', body)).toEqual(MALFORMED);
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined();
  });

  const INHERITED = ['constructor', 'prototype', ...Object.getOwnPropertyNames(Object.prototype)].filter(
    (name) => name !== '__proto__',
  );

  it.each(named)('names no member that every object has: %s', async (_, of) => {
    const example = requestExample(of);
    for (const name of INHERITED) {
      for (const value of [1, 'text', { x: 1 }, null]) {
        const body = JSON.stringify({ ...example }).replace(/\}$/, `,"${name}":${JSON.stringify(value)}}`);
        expect([name, ...(await send(of.path, body, of.method))].slice(0, 3)).toEqual([
          name,
          400,
          'validation_failed',
        ]);
      }
    }
  });

  it.each(named)('holds values of the right type and no other: %s', async (_, of) => {
    const example = requestExample(of) ?? {};
    for (const [field, right] of Object.entries(example)) {
      const wrong = [
        0,
        1,
        -1,
        1.5,
        true,
        false,
        null,
        [],
        ['text'],
        {},
        { $ne: 1 },
        'text',
        [right],
        { 0: right },
      ];
      for (const value of wrong.filter((one) => typeof one !== typeof right || Array.isArray(one))) {
        if (Array.isArray(right) && Array.isArray(value) && typeof value[0] === 'string') continue;
        if (value === null && takesNull(of, field)) continue;
        const answer = await send(of.path, JSON.stringify({ ...example, [field]: value }), of.method);
        expect([field, value, ...answer].slice(0, 4)).toEqual([field, value, 400, 'validation_failed']);
      }
    }
  });

  it('may be null in these fields only, and is taken then', async () => {
    const nullable = withBody.flatMap((of) =>
      Object.keys(requestSchema(of))
        .filter((field) => takesNull(of, field))
        .map((field) => [of, field] as const),
    );

    expect(nullable.map(([{ id }, field]) => `${id} ${field}`).sort()).toEqual([
      'updateApiKey allowedIps',
      'updateApiKey expiresAt',
    ]);
    const { keyId } = await createKey(app, person.token);
    for (const [of, field] of nullable) {
      const { status } = await app.call(
        of.method,
        of.path.slice('/api/v1'.length).replace('{keyId}', keyId),
        {
          body: { [field]: null },
          token: person.token,
        },
      );
      expect([of.id, field, status]).toEqual([of.id, field, 200]);
    }
  });

  it.each(named)('sets nothing of a row but what is declared: %s', async (_, of) => {
    const victim = await newcomer(app);
    const { apiKey: key } = await createKey(app, victim.token, { scopes: ['introspect'] });
    const credential = of.id === 'introspect' ? { key } : { token: victim.token };
    // When something was last used is written in the background, whatever the call was.
    const dump = async () => {
      const tables = [User, Session, ApiKey].map((entity) => app.inDatabase((tx) => tx.find(entity, {})));
      return JSON.stringify(await Promise.all(tables), (name, value: unknown) =>
        name === 'lastUsedAt' ? undefined : value,
      );
    };
    const before = await dump();
    const example = requestExample(of) ?? {};
    const columns = await app.inDatabase((tx) =>
      Promise.resolve(
        entities('sqlite').flatMap((entity) =>
          tx.connection
            .getMetadata(entity)
            .columns.flatMap(({ propertyName, databaseName }) => [propertyName, databaseName]),
        ),
      ),
    );
    const injected = [...new Set([...columns, 'isAdmin', 'role', 'admin', 'userId', 'owner'])].filter(
      (name) => !(name in example),
    );

    for (const name of injected) {
      const body = { ...example, [name]: name === 'scopes' ? '*' : victim.id };
      const { status, headers } = await app.call(of.method, withKeyId(of.path).slice('/api/v1'.length), {
        body,
        ...credential,
      });
      expect([name, status, headers.get('x-error-code')]).toEqual([name, 400, 'validation_failed']);
    }

    expect(injected.length).toBeGreaterThan(20);
    expect(await dump()).toEqual(before);
  });

  it('is taken whole: a login still works with exactly what it needs', async () => {
    expect((await logIn(app, person)).user.id).toBe(person.id);
  });
});
