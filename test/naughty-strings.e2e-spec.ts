import naughtyStrings from 'big-list-of-naughty-strings';
import { startApp, type TestApp } from './support/app';
import { type DocumentedOperation, operations, requestExample } from './support/contract';
import { issued } from './support/secret-watch';
import { logIn, newcomer, type LoginBody, type Person, signUp } from './support/people';
import { thorough } from './support/thoroughness';

/** What has broken programs before, and what is known to break programs like this one. */
const STRINGS = [
  ...naughtyStrings.filter((_, index) => thorough || index % 10 === 0),
  'line\r\nSet-Cookie: stolen=1',
  'line\nX-Injected: 1',
  '\u2028\u2029\u0085',
  '\u001b[31mred\u001b[0m\u0007\u0008',
  '{"level":"error","msg":"made up"}',
  '"}\n{"level":"error","msg":"made up"}',
  '%s%o%n%c%d%j',
  '${7*7}{{7*7}}<%= 7*7 %>#{7*7}',
  '${jndi:ldap://127.0.0.1/a}',
  "' OR '1'='1' --",
  "'; DROP TABLE users; --",
  '"; DROP TABLE users; --',
  '`; DROP TABLE users; --',
  "admin'/*",
  '1; SELECT SLEEP(5)',
  '\\',
  '\\0\\x00',
  '\0',
  'a\0b',
  '\ud800',
  '\udfff\ud800',
  '%2561dmin',
  '%00',
  '..%2f..%2fetc%2fpasswd',
  '$ne',
  '{"$gt":""}',
  '__proto__',
  '*)(uid=*))(|(uid=*',
  '<img src=x onerror=alert(1)>',
  'a'.repeat(64),
  '\u202eevil',
  '\ufeffbom',
  'İıſK',
];

/** No claim: the whole list is five hundred texts. */
jest.setTimeout(thorough ? 300_000 : 60_000);

const withBody = operations.filter((of) => requestExample(of) !== undefined);

describe('a naughty string', () => {
  let app: TestApp;
  let person: Person & LoginBody;
  beforeAll(async () => {
    app = await startApp({ RATE_LIMITS: 'off' });
    person = await newcomer(app);
  });
  afterAll(() => app.close());

  /** Sends it and holds the answer against everything that must be true of each. */
  const send = async (of: DocumentedOperation, body: object) => {
    const response = await app.fetch(of.path, {
      method: of.method,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${person.token}` },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    expect(response.status).toBeLessThan(500);
    for (const name of ['set-cookie', 'x-injected', 'location'])
      expect(response.headers.get(name)).toBeNull();
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    if (text !== '') {
      expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
      // One value, and the same again when it is written anew.
      expect(JSON.stringify(JSON.parse(text))).toBe(text);
    }
    return {
      status: response.status,
      body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>,
    };
  };

  const fields = withBody.flatMap((of) =>
    Object.entries(requestExample(of) ?? {})
      .filter(([, value]) => typeof value === 'string' || Array.isArray(value))
      .map(([field, value]): [string, DocumentedOperation, string, boolean] => [
        `${of.id} ${field}`,
        of,
        field,
        Array.isArray(value),
      ]),
  );

  it.each(fields)('is data like any other: in %s', async (_, of, field, list) => {
    const before = app.written.length;
    for (const text of STRINGS) {
      const example = requestExample(of);
      const { status } = await send(of, { ...example, [field]: list ? [text] : text });
      // Whoever has changed or ended something of his own starts again.
      if (status < 300 && ['changePassword', 'deleteAccount', 'updateProfile'].includes(of.id)) {
        person = await newcomer(app);
      }
    }

    // The line of a request is written when its answer has gone out; that of the last one by the time of the next.
    await app.fetch('/health/live');
    const lines = app.written.slice(before);
    const own = lines.filter((line) => isRequestTo(of, JSON.parse(line) as Record<string, unknown>));
    expect(own).toHaveLength(STRINGS.length);
    for (const line of lines) {
      expect(line.indexOf('\n')).toBe(line.length - 1);
      expect(JSON.parse(line)).toMatchObject({ level: expect.any(String) as string });
      // eslint-disable-next-line no-control-regex -- what a terminal would obey
      expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f\u2028\u2029\u0085]/);
    }
  });

  it('comes back as it went in, where it is taken', async () => {
    const createKey = operations.find(({ id }) => id === 'createApiKey') as DocumentedOperation;
    person = await newcomer(app);
    let taken = 0;
    for (const name of STRINGS) {
      const { status, body } = await send(createKey, { name });
      if (status !== 201) continue;
      taken += 1;
      expect(body['name']).toBe(name);
      const [row] = await app.rows<{ name: string }>('SELECT name FROM api_keys WHERE id = ?', [
        body['keyId'],
      ]);
      expect(row?.name).toBe(name);
      await app.inDatabase((tx) => tx.query('DELETE FROM api_keys WHERE id = ?', [body['keyId']]));
    }

    expect(taken).toBeGreaterThan(STRINGS.length / 2);
  });

  it('finds nobody by a name that is not his', async () => {
    const victim = await signUp(app, { username: 'Victim' });
    const tables = await app.rows<{ count: number }>('SELECT COUNT(*) AS count FROM users');
    const login = operations.find(({ id }) => id === 'login') as DocumentedOperation;

    for (const text of STRINGS.filter((one) => [...one].length < 200)) {
      for (const username of [text, `Victim${text}`, `${text}Victim`]) {
        const { status } = await send(login, { username, password: victim.password });
        if (username.toLowerCase() !== 'victim') expect([username, status]).toEqual([username, 401]);
      }
    }

    expect(await app.rows('SELECT COUNT(*) AS count FROM users')).toEqual(tables);
  });

  it('in a header, a query or a path makes no new header and no new log line', async () => {
    const before = app.written.length;
    for (const text of STRINGS) {
      const encoded = encodeURIComponent(text.toWellFormed());
      for (const path of [`/api/v1/auth/keys/${encoded}`, `/${encoded}`, `/api/v1/users/me?x=${encoded}`]) {
        const response = await app.fetch(path, {
          method: 'DELETE',
          headers: { authorization: `Bearer ${person.token}` },
        });
        expect(response.status).toBeGreaterThanOrEqual(400);
        expect(response.status).toBeLessThan(500);
        expect(Object.keys((await response.json()) as object)[0]).toBe('error');
      }
      const latin = Buffer.from(text.replace(/[^\x21-\x7e]/g, '?'), 'latin1').toString('latin1');
      const { headers } = await app.fetch('/api/v1/users/me', {
        headers: { 'user-agent': latin, 'idempotency-key': latin, authorization: `Bearer ${latin}` },
      });
      expect(headers.get('set-cookie')).toBeNull();
    }
    for (const line of app.written.slice(before)) expect(line.indexOf('\n')).toBe(line.length - 1);
  });
});

/** Whether a line tells of a request to that operation. */
function isRequestTo({ method, path }: DocumentedOperation, line: Record<string, unknown>): boolean {
  const route = path.replaceAll(/\{(\w+)\}/g, ':$1');
  return line['msg'] === 'request' && line['method'] === method && line['route'] === route;
}

describe('a naughty password', () => {
  let app: TestApp;
  // An application of its own, in which no such string is a name as well: each is looked for in log and database.
  beforeAll(async () => (app = await startApp({ RATE_LIMITS: 'off' })));
  afterAll(() => app.close());

  it('is a password like any other, and no other string is the same one', async () => {
    let taken = 0;
    for (const password of STRINGS.filter((text) => [...text].length >= 15 && [...text].length <= 255)) {
      const body = { username: `naughty-${taken}`, email: `naughty-${taken}@example.com`, password };
      const { status } = await app.call('POST', '/users', { body });
      if (status !== 201) continue;
      taken += 1;

      expect((await logIn(app, body)).user.username).toBe(body.username);
      const { status: other } = await app.call('POST', '/auth/login', {
        body: { username: body.username, password: `${password} ` },
      });
      expect(other).toBe(401);
    }

    expect(taken).toBeGreaterThan(STRINGS.length / 10);
    expect(issued.size).toBeGreaterThan(2 * taken);
  });
});
