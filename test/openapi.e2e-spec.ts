import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { STATUS_CODES } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  ParameterObject,
  ReferenceObject,
  RequestBodyObject,
  ResponseObject,
  SchemaObject,
} from '@nestjs/swagger';
import { getMetadataStorage } from 'class-validator';
import { DataSource } from 'typeorm';
import { parse as parseYaml } from 'yaml';
import { SECURITY_EVENT_TYPES } from '../src/audit/security-event';
import { API_ERRORS } from '../src/core/errors';
import { Transactions } from '../src/database/transactions';
import { Drain } from '../src/http/drain';
import type { SignUpRequest } from '../src/users/users.dto';
import { PasswordHasher } from '../src/crypto/password-hasher';
import {
  type AttemptLimitName,
  type LimitName,
  LIMITS,
  type WindowLimitName,
} from '../src/rate-limit/limits';
import { PasswordAttempts } from '../src/rate-limit/password-attempts';
import { RateLimits } from '../src/rate-limit/rate-limits';
import { ClockKeeper } from '../src/revocation/clock-keeper';
import { RevocationFeed } from '../src/revocation/revocation-feed';
import { type Answer, type Call, startApp, type TestApp } from './support/app';
import { type DocumentedOperation, openApiDocument, operations, requestExample } from './support/contract';
import { createKey, logIn, type LoginBody, sessionIdOf } from './support/people';
import { holdPolls } from './support/polls';
import { sendRaw } from './support/raw-http';

const root = join(__dirname, '..');

describe('the OpenAPI document', () => {
  it('is what the code says: run `npm run openapi` and commit', () => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-openapi-'));
    const fresh = join(folder, 'openapi.json');
    execFileSync(process.execPath, [join(root, 'dist', 'cli', 'write-openapi.js'), fresh]);

    const made = readFileSync(fresh, 'utf8');

    rmSync(folder, { recursive: true });
    expect(JSON.parse(made)).toEqual(openApiDocument);
    expect(made).toBe(readFileSync(join(root, 'openapi.json'), 'utf8'));
  });

  it('lists every error there is, with its code, status and sentence', () => {
    const rows = Object.entries(API_ERRORS).map(
      ([code, { status, sentence, when }]) => `| ${status} | \`${code}\` | ${sentence} | ${when} |`,
    );

    const described = (openApiDocument as { info: { description: string } }).info.description.split('\n');
    expect(rows.filter((row) => !described.includes(row))).toEqual([]);
    expect(described.filter((line) => /^\| \d/.test(line))).toHaveLength(rows.length);
  });

  it('has for every operation an id, a summary, a description, its credentials and examples', () => {
    expect(new Set(operations.map(({ id }) => id)).size).toBe(operations.length);
    for (const { operation } of operations) {
      expect(operation).toMatchObject({
        operationId: expect.stringMatching(/^[a-z]+[A-Za-z]*$/) as string,
        summary: expect.stringMatching(/\w/) as string,
        description: expect.stringMatching(/\w/) as string,
        security: expect.any(Array) as unknown[],
      });
    }
    const bodies = operations.flatMap(({ id, operation: { requestBody, responses } }) =>
      Object.entries({ request: requestBody, ...responses }).flatMap(([whose, body]) =>
        Object.entries((body as Partial<ResponseObject> | undefined)?.content ?? {}).map(
          ([mediaType, media]) => ({ name: `${id} ${whose} ${mediaType}`, examples: media.examples }),
        ),
      ),
    );
    expect(bodies.length).toBeGreaterThan(operations.length);
    const without = bodies.filter(({ examples }) => Object.keys(examples ?? {}).length === 0);
    expect(without.map(({ name }) => name)).toEqual([]);
  });

  it('describes every parameter, every field, and of every success what it means', () => {
    const described: [name: string, description: string | undefined][] = [];
    for (const { id, operation } of operations) {
      for (const parameter of (operation.parameters ?? []) as ParameterObject[])
        described.push([`${id} ${parameter.name}`, parameter.description]);
      for (const [status, response] of Object.entries(operation.responses))
        if (status.startsWith('2'))
          described.push([`${id} ${status}`, (response as ResponseObject).description]);
    }
    for (const [name, schema] of Object.entries(openApiDocument.components?.schemas ?? {}))
      for (const [field, property] of Object.entries((schema as SchemaObject).properties ?? {}))
        described.push([`${name}.${field}`, descriptionOf(property)]);

    const saysNothing = ['', ...Object.values(STATUS_CODES)];
    expect(described.length).toBeGreaterThan(80);
    expect(described.filter(([, text = '']) => saysNothing.includes(text.trim()))).toEqual([]);
  });

  it('says in its description how to sign in, and at every code of a bad token what to do', () => {
    expect(openApiDocument.info.description).toMatch(/_Sign in_[\s\S]*_Execute_[\s\S]*_Authorize_/);
    for (const code of ['token_invalid', 'token_expired', 'token_revoked', 'refresh_token_invalid'] as const)
      expect([code, API_ERRORS[code].when]).toEqual([
        code,
        expect.stringMatching(/Refresh|[Ss]ign in again/),
      ]);
  });

  it('lists every type that an event can have', () => {
    const { AccountEvent } = openApiDocument.components?.schemas as Record<string, SchemaObject>;
    const { type } = AccountEvent?.properties as Record<string, SchemaObject>;

    expect(SECURITY_EVENT_TYPES.length).toBeGreaterThan(20);
    expect(type?.enum).toEqual(SECURITY_EVENT_TYPES);
  });

  it('lists every rule that a field can break, and no other', () => {
    const { validationMetadatas } = getMetadataStorage() as unknown as {
      validationMetadatas: Map<{ name: string }, { name?: string }[]>;
    };
    const declared = [...validationMetadatas]
      .filter(([dto]) => /(Request|Query)$/.test(dto.name))
      .flatMap(([, rules]) => rules.flatMap(({ name }) => name ?? []));
    const thrown = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => [
        ...readFileSync(join(root, 'src', name), 'utf8').matchAll(/(?:fieldError\(\s*\S+,|rule:)\s*'(\w+)'/g),
      ])
      .map(([, rule = '']) => rule);

    const { FieldFault } = openApiDocument.components?.schemas as Record<string, SchemaObject>;
    const { rule } = FieldFault?.properties as Record<string, SchemaObject>;
    expect(rule?.enum).toEqual([...new Set([...declared, ...thrown])].sort());
  });

  it('says `integer` of everything that is counted, since nothing has a fraction', () => {
    const numbers = schemasIn(openApiDocument).filter(({ type }) => [type].flat().includes('number'));
    const integers = schemasIn(openApiDocument).filter(({ type }) => [type].flat().includes('integer'));

    expect(numbers).toEqual([]);
    expect(integers.length).toBeGreaterThan(6);
  });
});

/** What a field is said to be: by itself, since what its schema is said to be holds for others too. */
function descriptionOf(property: SchemaObject | ReferenceObject): string | undefined {
  return '$ref' in property ? undefined : property.description;
}

/** Everything in the document that says of what type a value is. */
function schemasIn(part: unknown): { type: unknown }[] {
  if (part === null || typeof part !== 'object') return [];
  const own = 'type' in part ? [part] : [];
  return [...own, ...Object.values(part).flatMap(schemasIn)];
}

describe('its publication', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  it('is /openapi.json and /openapi.yaml', async () => {
    const json = await app.fetch('/openapi.json');
    const yaml = await app.fetch('/openapi.yaml');

    expect(await json.json()).toEqual(openApiDocument);
    expect(parseYaml(await yaml.text())).toEqual(openApiDocument);
    expect(json.headers.get('content-type')).toContain('application/json');
    expect(yaml.headers.get('content-type')).toContain('yaml');
  });

  it.each(['/openapi.json', '/openapi.yaml', '/docs/swagger-ui-init.js'])(
    'is made once: whoever asks again, or for the headers only, is told of the same bytes: %s',
    async (path) => {
      const answers = [];
      for (const method of ['HEAD', 'GET', 'HEAD', 'GET']) answers.push(await app.fetch(path, { method }));

      const described = answers.map(({ status, headers }) => [
        status,
        headers.get('content-type'),
        headers.get('content-length'),
      ]);
      const length = String(Buffer.byteLength((await answers[1]?.text()) ?? ''));
      const type = expect.stringMatching(/json|yaml|javascript/) as string;
      expect(described).toEqual(answers.map(() => [200, type, length]));
    },
  );

  it.each(['/openapi.json', '/openapi.yaml', '/docs/swagger-ui-init.js'])(
    'is never answered in the place of an error, nor an error in its place: %s',
    async (path) => {
      await app.restart();
      const misspelt = `GET ${path.replace('/o', '/%6f').replace('/d', '/%64')} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n`;
      const before = await sendRaw(app.url, misspelt);
      const first = await app.fetch(path);
      const after = await sendRaw(app.url, misspelt);

      for (const [answer] of [before, after]) {
        expect(answer).toMatchObject({ status: 404, body: '{"error":"Not found"}' });
      }
      expect(first.status).toBe(200);
      expect((await first.text()).length).toBeGreaterThan(10_000);
    },
  );

  it('can be switched off, and the page with it', async () => {
    await app.restart({ API_DOCS: 'off' });

    for (const path of ['/docs', '/docs/swagger-ui.css', '/openapi.json', '/openapi.yaml', '/']) {
      expect((await app.fetch(path)).status).toBe(404);
    }
  });
});

/** One thing that a limit counts. */
interface Limited {
  subject: string;
  before: number;
}

type Undo = () => unknown;
/** A call of the document, on its way to be sent. */
type DocumentedCall = Call & { query?: string };
type Provocation = (
  call: DocumentedCall,
  of: DocumentedOperation,
) => Undo | undefined | void | Promise<Undo | undefined | void>;

/** One example of an answer. */
interface AnswerExample {
  of: DocumentedOperation;
  status: number;
  mediaType: string;
  /** Name of the example: an error code, or `default`. */
  name: string;
  value: unknown;
}

const examples: AnswerExample[] = operations.flatMap((of) =>
  Object.entries(of.operation.responses).flatMap(([status, response]) =>
    Object.entries(
      (response as ResponseObject).content ?? { none: { examples: { default: { value: undefined } } } },
    ).flatMap(([mediaType, media]) =>
      Object.entries(media.examples ?? {}).map(([name, example]) => ({
        of,
        status: Number(status),
        mediaType,
        name,
        value: (example as { value: unknown }).value,
      })),
    ),
  ),
);

describe('every example of the document, executed', () => {
  let app: TestApp;
  let jane: LoginBody;
  let keyId: string;
  let sessionId: string;
  let apiKey: string;
  let serviceKey: string;

  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const signUp = operations.find(({ id }) => id === 'signUp') as DocumentedOperation;

  const createApiKey = operations.find(({ id }) => id === 'createApiKey') as DocumentedOperation;

  /**
   * Jane Doe of the examples is the only user there is, signed in, with one key for herself and one for a
   * service. Each example has an hour to itself, so that
   * all of them together are no flood.
   */
  beforeEach(async () => {
    app.clock.advance(3600);
    await app.inDatabase((tx) => tx.query('DELETE FROM users'));
    const { username, email, password } = requestExample(signUp) as unknown as SignUpRequest;
    await app.call('POST', '/users', { body: { username, email, password } });
    jane = (await app.call<LoginBody>('POST', '/auth/login', { body: { username, password } })).body;
    sessionId = sessionIdOf(await logIn(app, { username, password }));
    serviceKey = (await createKey(app, jane.token, { scopes: ['introspect'] })).apiKey;
    ({ keyId, apiKey } = await createKey(app, jane.token, requestExample(createApiKey)));
  });

  const accepts = ({ operation }: DocumentedOperation, scheme: string) =>
    operation.security?.some((candidate) => scheme in candidate) ?? false;

  /** The request of the document, with what can only be Jane's own put in. */
  const requestOf = (of: DocumentedOperation): DocumentedCall => {
    const body = requestExample(of);
    if (body?.['refreshToken']) body['refreshToken'] = jane.refreshToken;
    if (body?.['token']) body['token'] = jane.token;
    if (body?.['apiKey']) body['apiKey'] = apiKey;
    const credential = accepts(of, 'bearer')
      ? { token: jane.token }
      : accepts(of, 'apiKey') && { key: serviceKey };
    return { ...(body && { body }), ...credential };
  };

  const send = async (
    of: DocumentedOperation,
    call: DocumentedCall,
    mediaType: string,
  ): Promise<Answer<unknown>> => {
    const path = of.path.replace('{keyId}', keyId).replace('{sessionId}', sessionId) + (call.query ?? '');
    const headers = { ...call.headers, ...(mediaType.includes('problem') && { accept: mediaType }) };
    if (path.startsWith('/api/v1'))
      return app.call(of.method, path.slice('/api/v1'.length), { ...call, headers });
    const response = await app.fetch(path, { headers });
    return { status: response.status, headers: response.headers, body: await response.json() };
  };

  const rotateWithOverlap = () =>
    app.call('POST', `/auth/keys/${keyId}/rotate`, { token: jane.token, body: { overlapSeconds: 60 } });

  const withoutDatabase = () => {
    const dataSource = app.nest.get(DataSource);
    const createQueryRunner = dataSource.createQueryRunner.bind(dataSource);
    dataSource.createQueryRunner = () =>
      ({ connect: () => Promise.reject(new Error('no database')) }) as never;
    return () => void (dataSource.createQueryRunner = createQueryRunner);
  };

  /**
   * What each limit counts here, and how often it has been counted before. A call that meets several is refused by the first; each
   * by itself is for test/kept-limits and test/login-limits.
   */
  const limited = (): Record<LimitName, Limited> => ({
    'key-report': { subject: '127.0.0.1', before: 0 },
    // Jane herself.
    'sign-up': { subject: '127.0.0.1', before: 1 },
    // Her two keys.
    'account-changes': { subject: jane.user.id, before: 2 },
    'session-changes': { subject: sessionIdOf(jane), before: 2 },
    // She has signed in twice.
    'sign-in': { subject: jane.user.id, before: 2 },
    'refresh-session': { subject: sessionIdOf(jane), before: 0 },
    'login-address': { subject: '127.0.0.1', before: 0 },
    'login-network': { subject: '2001:db8:1::/48', before: 0 },
    'sign-up-network': { subject: '2001:db8:1::/48', before: 0 },
    'key-report-network': { subject: '2001:db8:1::/48', before: 0 },
    'login-account': { subject: `account ${jane.user.id}`, before: 0 },
    'login-device': { subject: 'a device', before: 0 },
    'password-proof': { subject: sessionIdOf(jane), before: 0 },
  });

  /** What has to be done, or sent otherwise, to be answered with that error. Undone by the function returned. */
  const provocations: Record<string, Provocation> = {
    validation_failed: (call) => {
      if (call.body) call.body = { ...call.body, nickname: 'Jane' };
      else call.query = '?nickname=Jane';
    },
    malformed_json: (call) => {
      call.body = '{"unfinished":';
    },
    json_too_complex: (call) => {
      call.body = `${'['.repeat(9)}${']'.repeat(9)}`;
    },
    payload_too_large: (call) => {
      call.body = JSON.stringify({ x: 'x'.repeat(65_536) });
    },
    unsupported_media_type: (call) => {
      call.headers = { 'content-type': 'text/plain' };
      call.body ??= 'text';
    },
    ambiguous_credentials: (call) => {
      call.token = jane.token;
      call.key = 'sk_live_whatever';
    },
    authentication_required: (call) => {
      delete call.token;
      delete call.key;
    },
    token_invalid: (call) => {
      delete call.key;
      call.token = 'not.a.token';
    },
    token_expired: (call) => {
      delete call.key;
      call.token = jane.token;
      app.clock.advance(3600);
      return () => app.clock.advance(-3600);
    },
    token_revoked: async (call) => {
      delete call.key;
      call.token = jane.token;
      await app.call('POST', '/auth/logout', { token: jane.token });
    },
    api_key_invalid: (call) => {
      delete call.token;
      call.key = 'sk_live_whatever';
    },
    session_required: async (call) => {
      call.key = (await createKey(app, jane.token)).apiKey;
      delete call.token;
    },
    api_key_required: (call) => {
      delete call.key;
      call.token = jane.token;
    },
    scope_missing: async (call, of) => {
      if (of.id === 'verify') call.query = '?scope=invoices:write';
      call.key = (await createKey(app, jane.token, { scopes: ['invoices:read'] })).apiKey;
      delete call.token;
    },
    scope_not_held: async (call) => {
      call.body = { scopes: ['invoices:write'] };
      await app.inDatabase((tx) => tx.update('User', { id: jane.user.id }, { scopes: 'users:read' }));
    },
    invalid_credentials: (call) => {
      call.body = { ...(call.body as object), password: 'not the password' };
    },
    user_not_found: async () => {
      await app.inDatabase((tx) => tx.query('DELETE FROM users'));
    },
    account_disabled: async () => {
      await app.inDatabase((tx) => tx.query('UPDATE users SET disabled_at = created_at'));
    },
    current_password_wrong: (call) => {
      const { currentPassword: _, password: __, ...rest } = call.body as Record<string, unknown>;
      const field = 'newPassword' in rest ? 'currentPassword' : 'password';
      call.body = { ...rest, [field]: 'not the password' };
    },
    recent_login_required: (call, of) => {
      if (of.id === 'updateApiKey') call.body = { scopes: ['users:read', 'one:more'] };
      app.clock.advance(901);
      return () => app.clock.advance(-901);
    },
    registration_closed: async () => {
      await app.restart({ REGISTRATION: 'closed' });
      return () => app.restart();
    },
    username_taken: async (call) => {
      const wanted = call.body as { username: string; email: string };
      if (wanted.username === 'jane.doe') return;
      await app.call('POST', '/users', {
        body: { ...wanted, email: 'x@example.com', password: 'nine brass kettles' },
      });
    },
    email_taken: async (call) => {
      const wanted = call.body as { username: string; email: string };
      const body = { username: 'somebody.else', email: wanted.email, password: 'nine brass kettles' };
      await app.call('POST', '/users', { body });
      call.body = { ...wanted, username: 'yet.another' };
    },
    api_key_limit_reached: async () => {
      for (let count = 2; count < 100; count += 1) await createKey(app, jane.token);
    },
    session_not_found: async () => {
      await app.call('DELETE', `/auth/sessions/${sessionId}`, { token: jane.token });
    },
    api_key_not_found: async () => {
      await app.call('DELETE', `/auth/keys/${keyId}`, { token: jane.token });
    },
    api_key_reported: async () => {
      await app.call('POST', '/auth/keys/report', { body: { apiKey } });
    },
    refresh_token_invalid: (call) => {
      call.body = { refreshToken: 'rt_whatever' };
    },
    rate_limited: async () => {
      const origin = { ip: '127.0.0.1', userAgent: null, requestId: 'req_of_the_test' };
      const caller = { userId: null, origin };
      const limits = app.nest.get(RateLimits);
      const attempts = app.nest.get(PasswordAttempts);
      for (const [name, { subject, before }] of Object.entries(limited()) as [LimitName, Limited][]) {
        const one = () =>
          LIMITS[name].kind === 'window'
            ? limits.take(name as WindowLimitName, subject, caller)
            : attempts.admit(name as AttemptLimitName, subject, caller);
        for (let count = before; count < LIMITS[name].points; count += 1) await one();
      }
      return () => app.inDatabase((tx) => tx.query('DELETE FROM password_attempts'));
    },
    overloaded: async (call) => {
      if ('email' in (call.body as object)) await app.inDatabase((tx) => tx.query('DELETE FROM users'));
      const { queue } = app.nest.get<{ queue: { limits: object } }>(PasswordHasher);
      const { limits } = queue;
      queue.limits = { known: 0, unknown: 0, account: 0, registration: 0 };
      return () => void (queue.limits = limits);
    },
    draining: () => {
      const drain = app.nest.get<{ announced: boolean }>(Drain);
      drain.announced = true;
      return () => void (drain.announced = false);
    },
    database_unreachable: () => withoutDatabase(),
    migrations_pending: async () => {
      const names = await app.rows<{ name: string }>('SELECT name FROM migrations');
      await app.rows("UPDATE migrations SET name = 'of another release'");
      return async () => {
        for (const [index, { name }] of names.entries()) {
          await app.rows('UPDATE migrations SET name = ? WHERE id = ?', [name, index + 1]);
        }
      };
    },
    database_read_only: async () => {
      await app.nest.get(RevocationFeed).poll();
      const goOn = await holdPolls(app);
      const feed = app.nest.get<{ serverIsReadOnly: boolean }>(RevocationFeed);
      feed.serverIsReadOnly = true;
      return () => {
        feed.serverIsReadOnly = false;
        goOn();
      };
    },
    revocation_feed_stale: async () => {
      await app.rows('ALTER TABLE revocation_entries RENAME TO gone');
      app.clock.push(6);
      return async () => void (await app.rows('ALTER TABLE gone RENAME TO revocation_entries'));
    },
    clock_astray: async () => {
      await app.nest.get(RevocationFeed).poll();
      const goOn = await holdPolls(app);
      const keeper = app.nest.get<{ astray: boolean }>(ClockKeeper);
      keeper.astray = true;
      return () => {
        keeper.astray = false;
        goOn();
      };
    },
    service_unavailable: (call, of) => {
      if (of.id === 'verify') {
        // A token needs no database; a key that has not been seen does.
        delete call.token;
        call.key = apiKey;
      }
      return withoutDatabase();
    },
    internal_error: () => {
      const door = app.nest.get<{ enter: unknown }>(Transactions);
      const { enter } = door;
      door.enter = () => Promise.reject(new TypeError('a defect'));
      return () => void (door.enter = enter);
    },
  };

  describe('behind a proxy', () => {
    beforeAll(() => app.restart({ TRUST_PROXY: 'loopback' }));
    afterAll(() => app.restart());

    it('gives a key that works wherever it is called from, as it is made and as it is changed', async () => {
      const headers = { 'x-forwarded-for': '198.51.100.7' };
      const updateApiKey = operations.find(({ id }) => id === 'updateApiKey') as DocumentedOperation;
      const change = { token: jane.token, body: requestExample(updateApiKey) };

      const made = await app.call('GET', '/users/me', { key: apiKey, headers });
      await app.call('PATCH', `/auth/keys/${keyId}`, change);
      const changed = await app.call('GET', '/users/me', { key: apiKey, headers });

      expect([made.status, changed.status]).toEqual([200, 200]);
    });
  });

  it('has every example of a request taken, not only the first, and every password of theirs', async () => {
    const others = operations.flatMap((of) => {
      const body = of.operation.requestBody as RequestBodyObject | undefined;
      return Object.entries(body?.content['application/json']?.examples ?? {})
        .filter(([name]) => name !== 'default')
        .map(([name, example]) => ({
          of,
          name,
          body: (example as { value: Record<string, unknown> }).value,
        }));
    });
    const bodies = operations.map((of) => requestExample(of) ?? {});
    const passwords = new Set(
      bodies.flatMap((body) =>
        ['password', 'currentPassword', 'newPassword'].flatMap((field) => body[field] ?? []),
      ),
    );

    for (const { of, name, body } of others) {
      const { status } = await send(of, { ...requestOf(of), body }, 'application/json');
      expect([of.id, name, Math.floor(status / 100)]).toEqual([of.id, name, 2]);
    }
    for (const [index, password] of [...passwords].entries()) {
      const body = { username: `somebody-${index}`, email: `somebody-${index}@example.com`, password };
      expect([password, (await app.call('POST', '/users', { body })).status]).toEqual([password, 201]);
    }
    expect([others.length, passwords.size]).toEqual([2, 2]);
  });

  it.each(
    operations.flatMap((of): [string, DocumentedOperation][] =>
      of.operation.requestBody ? [[of.id, of]] : [],
    ),
  )('says of a body that it is required where it is, and nowhere else: %s', async (_, of) => {
    const { body: __, ...call } = requestOf(of);

    const { status, headers } = await send(of, call, 'application/json');

    const { required } = of.operation.requestBody as RequestBodyObject;
    const refused = status === 400 && headers.get('x-error-code') === 'validation_failed';
    expect([required, refused || status < 300]).toEqual([refused, true]);
  });

  it.each(
    operations.flatMap((of): [string, DocumentedOperation][] =>
      of.method !== 'GET' && !of.operation.requestBody ? [[of.id, of]] : [],
    ),
  )('lists what a body is refused for that nobody asked for: %s', async (_, of) => {
    const faults = ['malformed_json', 'json_too_complex', 'payload_too_large', 'unsupported_media_type'];
    for (const fault of faults) {
      const call = requestOf(of);
      await provocations[fault]?.(call, of);

      // Whether that is listed is looked at with every answer.
      const { headers } = await send(of, call, 'application/json');

      expect(headers.get('x-error-code')).toBe(fault);
      expect(examples.some((example) => example.of === of && example.name === fault)).toBe(true);
    }
  });

  it.each(operations.map((of): [string, DocumentedOperation] => [of.id, of]))(
    'lists the headers that tell of the end of a key wherever they are sent: %s',
    async (_, of) => {
      const { apiKey: old, keyId: ending } = await createKey(app, jane.token, {
        scopes: ['users:read', 'introspect'],
        expiresAt: new Date(app.clock.now().getTime() + 86_400_000).toISOString(),
      });
      const rotation = { token: jane.token, body: { overlapSeconds: 60 } };
      await app.call('POST', `/auth/keys/${ending}/rotate`, rotation);
      const { token: __, ...call } = { ...requestOf(of), key: old };
      const faulty = { ...call };
      await provocations['validation_failed']?.(faulty, of);

      const answers: [status: number, sent: string[], listed: string[]][] = [];
      for (const one of [call, faulty, { ...call, query: '?scope=invoices:write' }]) {
        const { status, headers } = await send(of, one, 'application/json');
        const response = of.operation.responses[String(status)] as ResponseObject;
        const names = ['Deprecation', 'Sunset'];
        answers.push([
          status,
          names.filter((name) => headers.has(name)),
          names.filter((name) => response.headers?.[name]),
        ]);
      }

      const telling = answers.filter(([, sent]) => sent.length > 0);
      expect(telling.length > 0).toBe(of.operation.security?.length !== 0);
      expect(telling.filter(([, sent, listed]) => sent.join() !== listed.join())).toEqual([]);
    },
  );

  const named = (wanted: (name: string) => boolean): [string, AnswerExample][] =>
    examples
      .filter(({ name }) => wanted(name))
      .map((example) => [`${example.of.id} ${example.status} ${example.name} ${example.mediaType}`, example]);

  it.each(named((name) => name === 'default'))('%s', async (_, { of, status, mediaType, value }) => {
    if (of.id === 'signUp') await app.inDatabase((tx) => tx.query('DELETE FROM users'));
    if (['listApiKeys', 'getApiKey', 'updateApiKey'].includes(of.id)) await rotateWithOverlap();
    // So that it has something to warn of.
    if (of.id === 'ready') await app.fetch('/health/live', { headers: { 'x-forwarded-for': '192.0.2.1' } });

    const answer = await send(of, requestOf(of), mediaType);

    expect(answer.status).toBe(status);
    expect(shapeOf(answer.body)).toEqual(shapeOf(value));
  });

  /** Each error of an operation, in all the types in which it can be had: what brings it about is the same. */
  const errors = new Map<string, AnswerExample[]>();
  for (const example of examples) {
    const { of, status, name } = example;
    if (['default', 'bad_request'].includes(name)) continue;
    const title = `${of.id} ${status} ${name}`;
    errors.set(title, [...(errors.get(title) ?? []), example]);
  }

  it.each([...errors])('%s', async (_, ofTypes) => {
    const [{ of, name }] = ofTypes as [AnswerExample];
    const call = requestOf(of);
    if (!provocations[name]) throw new Error(`Nobody knows how to provoke ${name}`);
    const undo = await provocations[name]?.(call, of);

    const answers: Answer<unknown>[] = [];
    for (const { mediaType } of ofTypes) answers.push(await send(of, call, mediaType));
    await undo?.();

    expect(ofTypes.map(({ mediaType }) => mediaType)).toEqual([
      'application/json',
      'application/problem+json',
    ]);
    for (const [index, { status, mediaType, value }] of ofTypes.entries()) {
      const { headers, body, status: answered } = answers[index] as Answer<unknown>;
      expect(headers.get('content-type')).toContain(mediaType);
      expect([headers.get('x-error-code'), answered]).toEqual([name, status]);
      expect(withoutRequestId(body)).toEqual(withoutRequestId(value));
    }
  });

  it.each(named((name) => name === 'bad_request'))('%s', async (_, { of, value }) => {
    const received = await new Promise<string>((resolve) => {
      let text = '';
      const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
      socket.on('data', (chunk) => (text += chunk.toString())).on('close', () => resolve(text));
      socket.write(`GET ${of.path} HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n`);
    });

    expect(JSON.parse(received.slice(received.indexOf('\r\n\r\n') + 4))).toEqual(value);
  });
});

/** Names and types, without the values. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (value === null || typeof value !== 'object') return value === null ? 'string' : typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shapeOf(member)]));
}

function withoutRequestId(body: unknown): unknown {
  return { ...(body as object), requestId: undefined };
}
