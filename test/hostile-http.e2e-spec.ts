import { type IncomingMessage, METHODS } from 'node:http';
import { startApp, type TestApp } from './support/app';
import { type DocumentedOperation, operations, requestExample } from './support/contract';
import { describeWhereInstalled } from './support/installed';
import { freePort } from './support/mariadb-server';
import { documentedBalancer, Nginx } from './support/nginx';
import { createKey, logIn, type LoginBody, newcomer, sessionIdOf, statusWith } from './support/people';
import { headerOf, type RawAnswer, sendRaw } from './support/raw-http';

const HOST = 'Host: localhost\r\n';
const CLOSE = 'Connection: close\r\n';
const JSON_TYPE = 'Content-Type: application/json\r\n';
/** A second request, smuggled behind the first. */
const SECOND = `GET /health/live HTTP/1.1\r\n${HOST}\r\n`;

/** Status, code and body of an answer in the shape of every error. */
const refusal = (answer: RawAnswer | undefined) => {
  const body = JSON.parse(answer?.body ?? 'null') as Record<string, unknown>;
  expect(Object.keys(body)).toEqual(['error']);
  expect(answer && headerOf(answer, 'x-request-id')).toMatch(/^req_/);
  return [answer?.status, answer && headerOf(answer, 'x-error-code')];
};

const post = (headers: string, rest: string) =>
  `POST /api/v1/auth/login HTTP/1.1\r\n${HOST}${JSON_TYPE}${headers}\r\n${rest}`;

const READ_IN_TWO_WAYS: [what: string, bytes: string | Buffer][] = [
  ['a length and chunks', post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${SECOND}`)],
  ['chunks and a length', post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', `0\r\n\r\n${SECOND}`)],
  ['two lengths', post('Content-Length: 2\r\nContent-Length: 3\r\n', `{}${SECOND}`)],
  ['two lengths in one', post('Content-Length: 2, 2\r\n', `{}${SECOND}`)],
  ['a length with a sign', post('Content-Length: +2\r\n', `{}${SECOND}`)],
  ['a hexadecimal length', post('Content-Length: 0x2\r\n', `{}${SECOND}`)],
  ['a negative length', post('Content-Length: -2\r\n', `{}${SECOND}`)],
  ['a length beyond all integers', post('Content-Length: 18446744073709551618\r\n', `{}${SECOND}`)],
  ['a length without a number', post('Content-Length:\r\n', `{}${SECOND}`)],
  ['an unknown coding', post('Transfer-Encoding: xchunked\r\n', `0\r\n\r\n${SECOND}`)],
  ['the identity coding', post('Transfer-Encoding: identity\r\n', `0\r\n\r\n${SECOND}`)],
  ['chunks that are not last', post('Transfer-Encoding: chunked, identity\r\n', `0\r\n\r\n${SECOND}`)],
  ['chunks twice', post('Transfer-Encoding: chunked, chunked\r\n', `0\r\n\r\n${SECOND}`)],
  [
    'two codings',
    post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', `0\r\n\r\n${SECOND}`),
  ],
  ['a tab before chunked', post('Transfer-Encoding:\x0bchunked\r\n', `0\r\n\r\n${SECOND}`)],
  ['a blank before the colon', post('Transfer-Encoding : chunked\r\n', `0\r\n\r\n${SECOND}`)],
  ['a chunk size that is none', post('Transfer-Encoding: chunked\r\n', `zz\r\n\r\n${SECOND}`)],
  ['a chunk size with a sign', post('Transfer-Encoding: chunked\r\n', `+2\r\n{}\r\n0\r\n\r\n${SECOND}`)],
  [
    'a chunk size beyond all integers',
    post('Transfer-Encoding: chunked\r\n', `ffffffffffffffff2\r\n{}\r\n0\r\n\r\n`),
  ],
  ['a chunk longer than its size', post('Transfer-Encoding: chunked\r\n', `1\r\n{}\r\n0\r\n\r\n${SECOND}`)],
  [
    'a chunk line that ends with a bare line feed',
    post('Transfer-Encoding: chunked\r\n', `2\n{}\r\n0\r\n\r\n${SECOND}`),
  ],
  ['chunks in HTTP/1.0', post('Transfer-Encoding: chunked\r\n', `0\r\n\r\n`).replace('1.1', '1.0')],
  ['a header that is folded', `GET /health/live HTTP/1.1\r\n${HOST}X-A: b\r\n c\r\n\r\n${SECOND}`],
  ['a header with a NUL', `GET /health/live HTTP/1.1\r\n${HOST}X-A: b\0c\r\n\r\n${SECOND}`],
  ['a bare carriage return', `GET /health/live HTTP/1.1\r\n${HOST}X-A: b\rX-B: c\r\n\r\n${SECOND}`],
  ['bare line feeds', `GET /health/live HTTP/1.1\n${HOST}\n${SECOND}`],
  ['a header without a name', `GET /health/live HTTP/1.1\r\n${HOST}: x\r\n\r\n${SECOND}`],
  ['no host', `GET /health/live HTTP/1.1\r\n\r\n${SECOND}`],
  ['two hosts', `GET /health/live HTTP/1.1\r\n${HOST}Host: other\r\n\r\n${SECOND}`],
  ['another protocol', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a version that there is not', `GET /health/live HTTP/1.9\r\n${HOST}\r\n${SECOND}`],
  ['a method that there is not', `STEAL /health/live HTTP/1.1\r\n${HOST}\r\n${SECOND}`],
  ['a method in lower case', `get /health/live HTTP/1.1\r\n${HOST}\r\n${SECOND}`],
  ['a target without a slash', `GET health/live HTTP/1.1\r\n${HOST}\r\n${SECOND}`],
  ['a tunnel', `CONNECT localhost:22 HTTP/1.1\r\n${HOST}\r\n`],
  ['TLS', Buffer.from('16030100c5010000c10303', 'hex')],
];

describe('a request that can be read in two ways', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  it.each(READ_IN_TWO_WAYS)('is answered 400 once, and the connection closed: %s', async (_, bytes) => {
    const answers = await sendRaw(app.url, bytes);

    expect(answers).toHaveLength(1);
    expect(refusal(answers[0])).toEqual([400, 'bad_request']);
  });

  it('is not one with a body where none belongs, nor with an expectation, nor one that asks for another protocol', async () => {
    const body = 'GET /nowhere HTTP/1.1\r\n\r\n';
    const answers = await sendRaw(
      app.url,
      `GET /health/live HTTP/1.1\r\n${HOST}Content-Length: ${body.length}\r\n\r\n${body}` +
        `GET /health/live HTTP/1.1\r\n${HOST}Expect: the-unexpected\r\n\r\n` +
        `GET /health/live HTTP/1.1\r\n${HOST}${CLOSE}\r\n`,
    );

    const [stayed] = await sendRaw(
      app.url,
      `GET /health/live HTTP/1.1\r\n${HOST}Connection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n`,
    );

    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(stayed?.status).toBe(200);
  });
});

describeWhereInstalled('nginx', 'a request through nginx, as the documentation configures it', () => {
  let app: TestApp;
  let nginx: Nginx;
  /** What the service has read as a request, or has taken for one in vain. */
  const read: string[] = [];

  beforeAll(async () => {
    app = await startApp({ TRUST_PROXY: 'loopback' });
    app.nest
      .getHttpServer()
      .on('request', ({ method = '', url = '' }: IncomingMessage) => read.push(`${method} ${url}`))
      .on('clientError', () => read.push('no request'));
    const instance = Number(new URL(app.url).port);
    const port = await freePort();
    nginx = await Nginx.start(documentedBalancer([instance, instance], port), port);
  });
  beforeEach(() => read.splice(0));
  afterAll(async () => {
    await nginx.remove();
    await app.close();
  });

  const LAST = `GET /last HTTP/1.1\r\n${HOST}${CLOSE}\r\n`;
  const proxied = (bytes: string | Buffer) => sendRaw(`http://127.0.0.1:${nginx.port}`, bytes, LAST);
  /** Without what nginx has refused by itself. */
  const ofService = (answers: RawAnswer[]) =>
    answers.filter((answer) => headerOf(answer, 'x-request-id') !== undefined);

  it.each(READ_IN_TWO_WAYS)('is never one for nginx and two for the service: %s', async (_, bytes) => {
    const answers = await proxied(bytes);
    const readOfThese = [...read];
    const [next] = await proxied(LAST);

    expect(answers.length).toBeGreaterThan(0);
    expect(readOfThese).toHaveLength(ofService(answers).length);
    // Whoever comes next over the connection between the two gets the answer to what he asked.
    expect(refusal(next)).toEqual([404, 'not_found']);
    expect(read.slice(readOfThese.length)).toEqual(['GET /last']);
  });

  it.each([
    ['with a length', post(`Content-Length: ${SECOND.length}\r\n`, SECOND)],
    [
      'in chunks',
      post('Transfer-Encoding: chunked\r\n', `${SECOND.length.toString(16)}\r\n${SECOND}\r\n0\r\n\r\n`),
    ],
  ])('is not the body of another: %s', async (_, bytes) => {
    const answers = await proxied(bytes);

    expect(answers.map(refusal)).toEqual([
      [400, 'malformed_json'],
      [404, 'not_found'],
    ]);
    expect(read).toEqual(['POST /api/v1/auth/login', 'GET /last']);
  });
});

describe('a path', () => {
  let app: TestApp;
  let token: string;
  let ids: Record<string, string>;

  beforeAll(async () => {
    app = await startApp();
    ({ token } = await newcomer(app));
    ids = { keyId: (await createKey(app, token)).keyId, sessionId: sessionIdOf({ token }) };
  });
  afterAll(() => app.close());

  const closed = operations.filter(({ operation }) => (operation.security ?? []).length > 0);

  const concrete = ({ path }: DocumentedOperation): string =>
    path.replace(/\{(\w+)\}/g, (_, name: string) => ids[name] as string);

  /** The request of the document, with a good token unless told otherwise, for another target. */
  const request = (
    of: DocumentedOperation,
    target: string,
    headers = `Authorization: Bearer ${token}\r\n`,
  ) => {
    const example = requestExample(of);
    const body = example ? JSON.stringify(example) : '';
    return (
      `${of.method} ${target} HTTP/1.1\r\n${HOST}${CLOSE}${headers}` +
      `${example ? JSON_TYPE : ''}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
    );
  };

  /** Other ways to write a path, none of which is it. */
  const variants = (path: string): string[] => {
    const segments = path.split('/').slice(1);
    const own = segments.filter((segment) => !/^(key|sess)_/.test(segment));
    const perSegment = own.flatMap((segment, index) => {
      const replaced = (other: string) => `/${segments.with(index, other).join('/')}`;
      const code = segment.charCodeAt(0).toString(16);
      return [
        replaced(`/${segment}`),
        replaced(`./${segment}`),
        replaced(`%2e/${segment}`),
        replaced(`x/../${segment}`),
        replaced(`x/%2e%2e/${segment}`),
        replaced(segment.toUpperCase()),
        replaced(`%${code}${segment.slice(1)}`),
        replaced(`%25${code}${segment.slice(1)}`),
        replaced(`${segment};x=1`),
        replaced(`${segment}%20`),
        replaced(`${segment}%00`),
        replaced(`${segment}.`),
      ];
    });
    return [
      ...perSegment,
      `/${path}`,
      `${path}/`,
      `${path}//`,
      `${path}/.`,
      `${path}/x/..`,
      `${path};x`,
      `${path}%3bx`,
      `${path}#x`,
      `${path}%00`,
      `${path}%00x`,
      `${path}%23x`,
      `${path}%3fx`,
      `${path}%2f`,
      `${path}.json`,
      `${path}\\`,
      path.replaceAll('/', '\\').replace('\\', '/'),
      path.replaceAll('/', '%2f').replace('%2f', '/'),
      path.replaceAll('/', '%5c').replace('%5c', '/'),
      `/%c0%ae%c0%ae${path}`,
      `http://localhost/${path}`,
      `http://localhost${path}/`,
      `http://localhost/x/..${path}`,
      `ftp://localhost${path}`,
    ];
  };

  it.each(closed.map((of): [string, DocumentedOperation] => [`${of.method} ${of.path}`, of]))(
    'has one spelling, and no other opens what it opens: %s',
    async (_, of) => {
      const targets = variants(concrete(of));
      const opened: string[] = [];
      for (const target of targets) {
        const [answer] = await sendRaw(app.url, request(of, target));
        // 405 where `.` is the id of something that can be deleted but not read.
        if (![400, 404, 405].includes(refusal(answer)[0] as number))
          opened.push(`${target}: ${answer?.status}`);
      }

      expect(targets.length).toBeGreaterThan(40);
      expect(opened).toEqual([]);
    },
  );

  it.each(closed.map((of): [string, DocumentedOperation] => [`${of.method} ${of.path}`, of]))(
    'is closed without a credential, whoever the request claims to be or to come from: %s',
    async (_, of) => {
      const claims = [
        'X-Forwarded-For: 127.0.0.1',
        'X-Original-URL: /health/live',
        'X-Rewrite-URL: /health/live',
        'X-HTTP-Method-Override: GET',
        'X-Auth-User-Id: user_01k9v3cde8f2mreav4z6w2x5td',
        'Cookie: token=x',
        'Host-Override: localhost',
      ];

      const answers = await Promise.all(
        ['', ...claims.map((claim) => `${claim}\r\n`)].map(async (headers) => {
          const [answer] = await sendRaw(app.url, request(of, concrete(of), headers));
          return refusal(answer);
        }),
      );

      expect(answers).toEqual(answers.map(() => [401, 'authentication_required']));
    },
  );

  it('may be in the absolute form of a request to a proxy, and means the same', async () => {
    const get = closed.find(({ id }) => id === 'getProfile') as DocumentedOperation;

    const [named] = await sendRaw(app.url, request(get, `http://elsewhere.example${get.path}`));
    const [anonymous] = await sendRaw(app.url, request(get, `http://elsewhere.example${get.path}`, ''));

    expect([named?.status, anonymous?.status]).toEqual([200, 401]);
  });

  it('leads to no file', async () => {
    for (const path of [
      '/.git/HEAD',
      '/.env',
      '/package.json',
      '/data/auth.sqlite',
      '/docs/../package.json',
      '/docs/%2e%2e/package.json',
      '/docs/..%2fpackage.json',
      '/docs/swagger-ui.css/',
    ]) {
      const [answer] = await sendRaw(app.url, `GET ${path} HTTP/1.1\r\n${HOST}${CLOSE}\r\n`);
      expect([path, ...refusal(answer)]).toEqual([
        path,
        expect.any(Number),
        expect.stringMatching(/^(not_found|bad_request)$/),
      ]);
    }
  });
});

describe('a method', () => {
  let app: TestApp;
  let authorization: string;
  let credentials: Record<string, string>[];
  let ids: Record<string, string>;
  beforeAll(async () => {
    app = await startApp();
    const { token } = await newcomer(app);
    const { apiKey, keyId } = await createKey(app, token);
    authorization = `Authorization: Bearer ${token}\r\n`;
    credentials = [{ authorization: `Bearer ${token}` }, { 'x-api-key': apiKey }];
    ids = { keyId, sessionId: sessionIdOf({ token }) };
  });
  afterAll(() => app.close());

  /** A proxy asks about somebody else's request, and may hand on its method. */
  const JUDGE = '/api/v1/auth/verify';
  const JUDGED = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'TRACE'];

  /** Methods of a path, also as far as it is a case of another: `/auth/keys/report` is spelled like a key's. */
  const methodsOf = new Map<string, string[]>();
  for (const { path } of operations) {
    const own = operations
      .filter((other) => new RegExp(`^${other.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path))
      .flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
    methodsOf.set(path, path === JUDGE ? JUDGED : [...new Set(own)]);
  }

  it.each([...methodsOf])(
    'that %s does not have is answered 405 with those that it has, also with a good token',
    async (path, own) => {
      const others = METHODS.filter((method) => ![...own, 'CONNECT'].includes(method));
      const target = path.replaceAll(/\{\w+\}/g, 'x');

      for (const method of others) {
        const [answer] = await sendRaw(
          app.url,
          `${method} ${target} HTTP/1.1\r\n${HOST}${CLOSE}${authorization}\r\n`,
        );
        const code = answer && headerOf(answer, 'x-error-code');
        expect([method, answer?.status, code]).toEqual([method, 405, 'method_not_allowed']);
        expect(answer && headerOf(answer, 'allow')?.split(', ').sort()).toEqual([...own].sort());
      }
      expect(others).toEqual(
        expect.arrayContaining(path === JUDGE ? ['PROPFIND'] : ['TRACE', 'OPTIONS', 'PROPFIND', 'PUT']),
      );
    },
  );

  it('CONNECT is refused wherever it leads, also with a good token, and opens no tunnel', async () => {
    for (const target of [
      ...methodsOf.keys(),
      '/nowhere',
      '*',
      'localhost:22',
      app.url.slice('http://'.length),
    ]) {
      const behind = `GET /health/live HTTP/1.1\r\n${HOST}${CLOSE}\r\n`;
      const answers = await sendRaw(
        app.url,
        `CONNECT ${target} HTTP/1.1\r\n${HOST}${authorization}\r\n${behind}`,
      );

      expect([target, answers.length, ...refusal(answers[0])]).toEqual([target, 1, 400, 'bad_request']);
      expect(answers[0] && headerOf(answers[0], 'connection')).toBe('close');
    }
  });

  /**
   * Each row by its table, but for what is written whatever the call was: when something was last used, that somebody was
   * refused, and the seal that events get in the background.
   */
  const everyRow = async () => {
    const dumped = JSON.parse(await app.database.dump()) as (string | Record<string, unknown>[])[];
    const rows = dumped.flatMap((table, index) =>
      typeof table === 'string' && table !== 'audit_chain'
        ? (dumped[index + 1] as Record<string, unknown>[]).map((row): Record<string, unknown> => ({
            table,
            ...row,
          }))
        : [],
    );
    return rows
      .filter(({ table, type }) => table !== 'audit_events' || type !== 'access_refused')
      .map((row) => ({ ...row, last_used_at: null, sequence: null, link: null }));
  };

  it.each([...methodsOf])(
    'that is safe leaves every row of every table as it was, with a good token and with a good key: %s',
    async (path, own) => {
      const target = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => ids[name] as string);
      const before = await everyRow();
      const statuses: number[] = [];

      for (const headers of credentials) {
        for (const method of ['GET', 'HEAD', 'OPTIONS']) {
          statuses.push((await app.fetch(target, { method, headers })).status);
          expect([method, await everyRow()]).toEqual([method, before]);
        }
      }

      const isRead = operations.some((of) => of.path === path && of.method === 'GET');
      expect(JSON.stringify(before)).toContain(ids['keyId']);
      expect(statuses[0]).toBe(isRead ? 200 : own.includes('GET') ? 404 : 405);
    },
  );

  it('HEAD answers what GET does, without the body', async () => {
    for (const path of [
      '/api/v1/users/me',
      '/api/v1/auth/keys',
      '/health/live',
      '/nowhere',
      '/openapi.json',
    ]) {
      const get = await app.fetch(path);
      const head = await app.fetch(path, { method: 'HEAD' });

      expect(head.status).toBe(get.status);
      expect(await head.text()).toBe('');
      expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'));
      expect(Number(head.headers.get('content-length'))).toBe((await get.arrayBuffer()).byteLength);
    }
  });
});

describe('a credential', () => {
  let app: TestApp;
  let token: string;
  let key: string;
  beforeAll(async () => {
    app = await startApp();
    ({ token } = await newcomer(app));
    key = (await createKey(app, token)).apiKey;
  });
  afterAll(() => app.close());

  it.each([
    ['a token twice', () => [`Authorization: Bearer ${token}`, `authorization: Bearer ${token}`]],
    ['a token and another', () => [`Authorization: Bearer ${token}`, 'Authorization: Bearer x']],
    ['another and a token', () => ['Authorization: Basic eDp5', `Authorization: Bearer ${token}`]],
    ['a key twice', () => [`X-API-Key: ${key}`, `x-api-key: ${key}`]],
    ['a key and another', () => [`X-API-Key: ${key}`, 'X-API-Key: sk_live_x']],
    ['a token and a key', () => [`Authorization: Bearer ${token}`, `X-API-Key: ${key}`]],
    ['an empty token and a key', () => ['Authorization:', `X-API-Key: ${key}`]],
  ])('is one or none: %s', async (_, headers) => {
    const [answer] = await sendRaw(
      app.url,
      `GET /api/v1/users/me HTTP/1.1\r\n${HOST}${CLOSE}${headers().join('\r\n')}\r\n\r\n`,
    );

    expect(refusal(answer)).toEqual([400, 'ambiguous_credentials']);
  });

  it.each([
    ['the query', () => `/api/v1/users/me?token=${token}&access_token=${token}&api_key=${key}`, () => ''],
    ['a cookie', () => '/api/v1/users/me', () => `Cookie: token=${token}; access_token=${token}\r\n`],
    ['the path', () => `/api/v1/users/me/${token}`, () => ''],
    ['an empty header', () => '/api/v1/users/me', () => 'Authorization:\r\n'],
    ['an empty key', () => '/api/v1/users/me', () => 'X-API-Key:\r\n'],
    ['two keys in one', () => '/api/v1/users/me', () => `X-API-Key: ${key}, ${key}\r\n`],
    ['a key as a token', () => '/api/v1/users/me', () => `Authorization: Bearer ${key}\r\n`],
    ['a token as a key', () => '/api/v1/users/me', () => `X-API-Key: ${token}\r\n`],
    ['a header of another name', () => '/api/v1/users/me', () => `Proxy-Authorization: Bearer ${token}\r\n`],
  ])('is not looked for in %s', async (_, target, headers) => {
    const [answer] = await sendRaw(app.url, `GET ${target()} HTTP/1.1\r\n${HOST}${CLOSE}${headers()}\r\n`);

    expect(refusal(answer)[0]).toBe(target().includes('me/') ? 404 : 401);
    expect(JSON.stringify(app.logged)).not.toContain(token);
    expect(JSON.stringify(app.logged)).not.toContain(key);
  });

  it('of a form or of a plain text never reaches a login: no page of another origin can send one unasked', async () => {
    for (const type of [
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'text/plain',
    ]) {
      for (const path of ['auth/login', 'auth/refresh', 'auth/keys', 'users']) {
        const body = '{"username":"a","password":"b"}';
        const [answer] = await sendRaw(
          app.url,
          `POST /api/v1/${path} HTTP/1.1\r\n${HOST}${CLOSE}Origin: https://evil.example\r\nContent-Type: ${type}\r\n` +
            `Content-Length: ${body.length}\r\n\r\n${body}`,
        );
        expect(refusal(answer)).toEqual([415, 'unsupported_media_type']);
      }
    }
  });
});

describe('a parameter of the query', () => {
  let app: TestApp;
  let token: string;
  let other: LoginBody;
  beforeAll(async () => {
    app = await startApp();
    const person = await newcomer(app);
    ({ token } = person);
    other = await logIn(app, person);
  });
  afterAll(() => app.close());

  it.each([
    'keep=current&keep=all',
    'keep=current&keep=current',
    'keep[]=current',
    'keep[x]=current',
    'keep=Current',
    'keep=',
    'keep',
    'keep=current&other=1',
    'constructor=1',
    'prototype=1',
    '__proto__=1',
    'toString=1',
    'hasOwnProperty=1',
  ])('is known, sent once and exact, or 400 and nothing happens: ?%s', async (query) => {
    const { status, headers } = await app.call('DELETE', `/auth/sessions?${query}`, { token });

    expect([status, headers.get('x-error-code')]).toEqual([400, 'validation_failed']);
    // That of another session above all: one's own would be spared by some of these.
    expect([await statusWith(app, { token }), await statusWith(app, other)]).toEqual([200, 200]);
  });

  it('wraps no answer into a script', async () => {
    const response = await app.fetch('/api/v1/users/me?callback=steal&jsonp=steal', {
      headers: { authorization: `Bearer ${token}` },
    });

    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(await response.json()).toHaveProperty('username');
  });
});
