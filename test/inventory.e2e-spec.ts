import { LONGEST_ACCEPT } from '../src/core/error-response';
import { maxHeaderSize } from 'node:http';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { CAPACITY } from '../src/api-keys/key-cache';
import { MOST_AT_ONCE, MOST_WAITING } from '../src/api-keys/key-lookups';
import { MOST_KNOWN_TOKENS } from '../src/auth/session-tokens';
import { KEYS_PER_ACCOUNT } from '../src/api-keys/api-keys.service';
import { MOST_OF_AN_ACCOUNT } from '../src/audit/audit-trail';
import { BLANKED_AT_ONCE } from '../src/audit/chained-events';
import { LONGEST_LINE } from '../src/cli/source-lines';
import { BODY_LIMIT } from '../src/core/json-body';
import { MOST_COMMAS, MOST_LEVELS } from '../src/core/json-bounds';
import { MOST_KEPT_BYTES } from '../src/core/log-output';
import { REQUEST_BUDGET_MS } from '../src/core/request-budget';
import {
  DEFAULT_HASH_COST,
  LONGEST_WAIT_MS,
  PasswordHasher,
  WAITING_PER_THREAD,
} from '../src/crypto/password-hasher';
import { MOST_IN_LINE } from '../src/database/account-lines';
import { dataSourceOptions } from '../src/database/data-source-options';
import { LONGEST_IDLE_MS } from '../src/database/mysql-pool';
import { BATCH_SIZE, BATCHES_PER_ROUND } from '../src/database/row-cleanup';
import { LONGEST_TRANSACTION_MS } from '../src/database/transactions';
import { MOST_QUERY_FIELDS } from '../src/core/request-validation.pipe';
import { MOST_FIELDS } from '../src/http/form-body';
import { entities } from '../src/entities';
import { LONGEST_LEAVE_MS } from '../src/http/hang-up';
import { MOST_PIPELINED, MOST_RECEIVED, WAITING_CONNECTIONS } from '../src/http/connections';
import { MOST_UNSENT_BYTES } from '../src/http/unsent-answers';
import { MOST_SCRAPERS, SCRAPE_HEADERS_MS, SCRAPE_IDLE_MS } from '../src/observability/metrics-server';
import { TIMEOUT_MS } from '../src/passwords/breached-passwords';
import { QUEUE_LIMITS } from '../src/passwords/password-strength';
import { BATCH_SIZE as COUNTERS_PER_ROUND, BATCHES_AT_STOP } from '../src/rate-limit/counter-keeper';
import { LIMITS } from '../src/rate-limit/limits';
import { MOST_WRITTEN, REMEMBERED_SECONDS, WRITTEN_FOR_MS } from '../src/rate-limit/attempt-ledger';
import { ATTEMPTS_KEPT_FOR_SECONDS } from '../src/rate-limit/password-attempts-cleanup';
import { MOST_COUNTERS } from '../src/rate-limit/window-counters';
import { PAGE_SIZE } from '../src/revocation/revocation-lines';
import { SESSIONS_PER_ACCOUNT } from '../src/sessions/sessions.service';
import { IMPORT_BATCH_SIZE } from '../src/users/user-import';
import { startApp, type TestApp } from './support/app';
import { openApiDocument } from './support/contract';
import { tableRows } from './support/markdown';
import { onMysql } from './support/database';
import { testNames } from './support/spec-names';

const page = readFileSync(join(__dirname, '..', 'docs', 'inventory.md'), 'utf8');

/** What stands under a heading. */
const section = (heading: string): string => {
  const begin = page.indexOf(`## ${heading}\n`);
  const end = page.indexOf('\n## ', begin + 1);
  return page.slice(begin, end === -1 ? undefined : end);
};

/** Of one core, as docs/operations.md reckons: about 20 ms each. */
const HASHES_A_SECOND = 50;

/** The rows of the table under a heading, as cells. */
const table = (heading: string): string[][] => tableRows(section(heading));

interface Schema {
  type?: string;
  $ref?: string;
  format?: string;
  pattern?: string;
  enum?: unknown[];
  maxLength?: number;
  maxItems?: number;
  minimum?: number;
  maximum?: number;
  additionalProperties?: unknown;
  items?: Schema;
  properties?: Record<string, Schema>;
  oneOf?: Schema[];
  allOf?: Schema[];
  anyOf?: Schema[];
}

const schemas = (openApiDocument as unknown as { components: { schemas: Record<string, Schema> } }).components
  .schemas;
const request = (name: string): Record<string, Schema> => schemas[name]?.properties ?? {};

describe('docs/inventory.md', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  it('says of every column what it is and how long it is kept', () => {
    const dataSource = app.nest.get(DataSource);
    const columns = entities(onMysql ? 'mysql' : 'sqlite').flatMap((entity) => {
      const { tableName, columns: own } = dataSource.getMetadata(entity);
      return own.map(({ databaseName }) => `${tableName}.${databaseName}`);
    });

    const listed = table('What is stored');
    expect(listed.map(([column]) => column?.replaceAll('`', '')).sort()).toEqual([...columns].sort());
    expect(new Set(listed.map(([, kind]) => kind))).toEqual(new Set(['secret', 'personal', 'internal']));
    expect(listed.filter(([, , kept]) => kept === '')).toEqual([]);
    // Whatever looks like a secret is one.
    const secrets = listed.filter(([column]) =>
      /password_hash|nonce|idempotency|secrets\.hash/.test(column ?? ''),
    );
    expect(new Set(secrets.map(([, kind]) => kind))).toEqual(new Set(['secret']));
  });

  it('lists every bound with the number that is in force', async () => {
    const server = app.nest.getHttpServer();
    const hasher = app.nest.get<{ queue: { limits: Record<string, number> }; pool: { maxThreads: number } }>(
      PasswordHasher,
    );
    const threads = (hasher.queue.limits['unknown'] ?? 0) / WAITING_PER_THREAD.unknown;
    const mysql = onMysql
      ? (app.nest.get(DataSource).options as unknown as Record<string, never>)
      : undefined;
    const seconds = (milliseconds: number) => `${milliseconds / 1000} s`;
    const signUp = request('SignUpRequest');
    const newKey = request('CreateApiKeyRequest');
    const characters = ({ maxLength }: Schema = {}) => `${maxLength} characters`;

    const inForce: Record<string, string> = {
      'body of a request': `${BODY_LIMIT} bytes`,
      'fields of a query': `${MOST_QUERY_FIELDS}`,
      'fields of a form': `${MOST_FIELDS}`,
      'nesting of a JSON body': `${MOST_LEVELS} levels`,
      'commas in a JSON body': `${MOST_COMMAS}`,
      'request line and headers': `${maxHeaderSize} bytes`,
      connections: `${server.maxConnections}`,
      'connections that wait while the process is busy': `${WAITING_CONNECTIONS}`,
      'connections of one address, of IPv6 one /48': 'what is left',
      'time to take leave when it is hung up on': `${LONGEST_LEAVE_MS / 1000} s`,
      'requests of one connection received and not answered': `${MOST_RECEIVED}`,
      'requests of one connection under way': `${MOST_PIPELINED}`,
      'answers that clients have yet to take': `${MOST_UNSENT_BYTES / 1024 / 1024} MiB`,
      'lines of the log that find no room': `${MOST_KEPT_BYTES / 1024} KiB`,
      '`Accept` of an error': `${LONGEST_ACCEPT} characters`,
      'time for the headers': seconds(server.headersTimeout),
      'time for a request to arrive': seconds(server.requestTimeout),
      'time between two requests': seconds(server.keepAliveTimeout),
      'time without a byte taken or sent': seconds(server.timeout),
      'time with the database, for a request': seconds(REQUEST_BUDGET_MS),
      'a transaction': seconds(LONGEST_TRANSACTION_MS),
      'changes of one account under way': '1',
      'lists of one account under way: sessions, keys, events': '1',
      'changes of one account that wait for each other': `${MOST_IN_LINE}`,
      'lists of one account that wait for each other': `${MOST_IN_LINE}`,
      'hashes that wait, per thread: strangers': `${(hasher.queue.limits['unknown'] ?? 0) / threads}`,
      'hashes that wait, per thread: known devices': `${(hasher.queue.limits['known'] ?? 0) / threads}`,
      'hashes that wait, per thread: signed-in users': `${(hasher.queue.limits['account'] ?? 0) / threads}`,
      'hashes that wait, per thread: sign-ups': `${(hasher.queue.limits['registration'] ?? 0) / threads}`,
      'memory of hashes under way, per thread': `${DEFAULT_HASH_COST.memoryKib / 1024} MiB`,
      'a hash waits for its turn': seconds(LONGEST_WAIT_MS),
      'new passwords that wait to be judged: signed-in users': `${QUEUE_LIMITS.account}`,
      'new passwords that wait to be judged: sign-ups': `${QUEUE_LIMITS.registration}`,
      'the breached-password service': seconds(TIMEOUT_MS),
      'user name at sign-up': characters(signUp['username']),
      'e-mail address': characters(signUp['email']),
      password: characters(signUp['password']),
      'name of a key': characters(newKey['name']),
      'scopes of a key': `${newKey['scopes']?.maxItems}`,
      'address ranges of a key': `${newKey['allowedIps']?.maxItems}`,
      'overlap of a rotation': `${request('RotateApiKeyRequest')['overlapSeconds']?.maximum} s`,
      'keys of an account': `${KEYS_PER_ACCOUNT}`,
      'sessions of an account': `${SESSIONS_PER_ACCOUNT}`,
      'refreshes of a session in a minute': `${LIMITS['refresh-session'].points}`,
      'refreshes of an account in a minute, of all its sessions': `${LIMITS['refresh-session'].points * SESSIONS_PER_ACCOUNT}`,
      'events on a page': `${mostEvents()}`,
      'events of one type that anybody can cause, an hour and account': `${MOST_OF_AN_ACCOUNT}`,
      'keys remembered, good and bad each': `${CAPACITY}`,
      'of those, keys with 50 ranges and 32 scopes': `${Math.floor(CAPACITY / 11)}`,
      'statements under way that look for keys': '1',
      'keys that one of them looks for': `${MOST_AT_ONCE}`,
      'calls that wait for keys to be found': `${MOST_WAITING}`,
      'access tokens remembered': `${MOST_KNOWN_TOKENS}`,
      'user names tried that are remembered, per core that hashes': `${HASHES_A_SECOND * (REMEMBERED_SECONDS + ATTEMPTS_KEPT_FOR_SECONDS)}`,
      'rows of attempts that are remembered as written': `${MOST_WRITTEN}, for ${WRITTEN_FOR_MS / 1000} s`,
      'lines of the revocation feed that a statement reads': `${PAGE_SIZE}`,
      'counters of each limit in memory': `${MOST_COUNTERS}`,
      'counters of limits written down in a round': `${COUNTERS_PER_ROUND}`,
      'counters of limits written down at a stop': `${COUNTERS_PER_ROUND * BATCHES_AT_STOP}`,
      'counters of limits read at the start': `${MOST_COUNTERS}`,
      'rows removed in a round': `${BATCH_SIZE * BATCHES_PER_ROUND}`,
      'events blanked in a transaction, of a deleted account': `${BLANKED_AT_ONCE}`,
      'connections to the port of the metrics': `${MOST_SCRAPERS}`,
      'time for the headers, at that port': seconds(SCRAPE_HEADERS_MS),
      'time without a byte taken or sent, at that port': seconds(SCRAPE_IDLE_MS),
      'a line of an import': `${LONGEST_LINE} bytes`,
      'accounts imported in a transaction': `${IMPORT_BATCH_SIZE}`,
      ...(mysql && (await boundsOfMysql(app))),
    };

    const listed = Object.fromEntries(
      table('Bounds').map(([what = '', bound = '']): [string, string] => [what, bound]),
    );
    const ofMysql = [
      'a statement on MySQL',
      'connections to MySQL',
      'silence of one, in a transaction or not',
      'a connection to MySQL that nobody needs',
      'callers that wait for one',
    ];
    if (!onMysql) for (const what of ofMysql) delete listed[what];
    expect(listed).toEqual(inForce);
  });
});

interface Operation {
  security?: object[];
  responses: Record<string, { content?: { 'application/json'?: { schema?: Schema } } }>;
}

describe('the ways in', () => {
  const { paths, components } = openApiDocument as unknown as {
    paths: Record<string, Record<string, Operation>>;
    components: { securitySchemes: Record<string, { type: string; name?: string }> };
  };
  /** The operations that take no credential, by whether they answer with one. */
  const open = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations)
      .filter(([, { security }]) => security?.length === 0)
      .map(([method, { responses }]) => {
        const answer = responses['200']?.content?.['application/json']?.schema?.$ref?.split('/').at(-1) ?? '';
        return {
          name: `\`${method.toUpperCase()} ${path.replace('/api/v1', '')}\``,
          letsIn: 'token' in (schemas[answer]?.properties ?? {}),
        };
      }),
  );
  const withCredential = Object.values(components.securitySchemes).map(({ type, name }) =>
    type === 'apiKey' ? `\`${name}\`` : '`Authorization: Bearer`',
  );

  it('are all listed, each with how strong it is', () => {
    const listed = table('Ways in');

    const ways = open.filter(({ letsIn }) => letsIn).map(({ name }) => name);
    expect(ways.length).toBeGreaterThan(0);
    expect(listed.map(([way]) => way).sort()).toEqual(
      [...ways, ...withCredential, 'the command line'].sort(),
    );
    expect(listed.filter((cells) => cells.length !== 4 || cells.includes(''))).toEqual([]);
  });

  it('are told apart from what needs no credential and gives none', () => {
    const others = open.filter(({ letsIn }) => !letsIn).map(({ name }) => name);

    expect(others.length).toBeGreaterThan(0);
    expect(others.filter((name) => !section('Ways in').includes(name))).toEqual([]);
  });
});

describe('the fields that hang together', () => {
  it('have for each rule the tests that show it', () => {
    const rules = table('Fields that hang together').map(([rule, , tests = '']) => ({
      rule,
      tests: [...tests.matchAll(/\[`([\w/.-]+spec\.ts)`: ([^\]]+)\]/g)].map(([, file = '', name = '']) => ({
        file: join(__dirname, '..', file),
        name,
      })),
    }));

    expect(rules.length).toBeGreaterThan(5);
    expect(rules.filter(({ tests }) => tests.length === 0).map(({ rule }) => rule)).toEqual([]);
    const missing = rules
      .flatMap(({ tests }) => tests)
      .filter(({ file, name }) => !existsSync(file) || !testNames(file).includes(name));
    expect(missing).toEqual([]);
  });
});

/** As the pool was told. */
async function boundsOfMysql(app: TestApp): Promise<Record<string, string>> {
  const [session] = await app.rows<{ silence: number | string }>('SELECT @@wait_timeout AS silence');
  const options = (await dataSourceOptions(app.config.database, [])) as unknown as {
    maxQueryExecutionTime: number;
    poolSize: number;
    extra: { queueLimit: number };
  };
  return {
    'a statement on MySQL': `${options.maxQueryExecutionTime / 1000} s`,
    'connections to MySQL': `${options.poolSize}`,
    'silence of one, in a transaction or not': `${session?.silence} s`,
    'a connection to MySQL that nobody needs': `${LONGEST_IDLE_MS / 1000} s`,
    'callers that wait for one': `${options.extra.queueLimit}`,
  };
}

function mostEvents(): number | undefined {
  const { parameters } = (
    openApiDocument as unknown as {
      paths: Record<string, { get: { parameters: { name: string; schema: Schema }[] } }>;
    }
  ).paths['/api/v1/auth/events']?.get ?? { parameters: [] };
  return parameters.find(({ name }) => name === 'limit')?.schema.maximum;
}

describe('the API document', () => {
  /** Where a schema leaves open how much may come. */
  const open = (schema: Schema, at: string): string[] => {
    if (schema.$ref) return [];
    const parts = [...(schema.oneOf ?? []), ...(schema.allOf ?? []), ...(schema.anyOf ?? [])];
    const within = [
      ...parts.flatMap((part) => open(part, at)),
      ...Object.entries(schema.properties ?? {}).flatMap(([name, part]) => open(part, `${at}.${name}`)),
      ...(schema.items ? open(schema.items, `${at}[]`) : []),
    ];
    const types = [schema.type].flat();
    // An expression that repeats nothing without end is a bound as well.
    const finite =
      schema.pattern !== undefined && !/[*+]|,\}/.test(schema.pattern.replace(/\[[^\]]*\]/g, ''));
    const closed = schema.enum !== undefined || schema.format === 'date-time' || finite;
    const unbounded =
      (types.includes('string') && !closed && schema.maxLength === undefined) ||
      (types.includes('array') && schema.maxItems === undefined) ||
      (['integer', 'number'].some((type) => types.includes(type)) &&
        (schema.maximum === undefined || schema.minimum === undefined)) ||
      (types.includes('object') && schema.additionalProperties !== false && schema.properties !== undefined);
    return [...within, ...(unbounded ? [at] : [])];
  };

  it('gives every text, list and number that a request may hold a bound, and lets nothing else in', () => {
    const requests = Object.entries(schemas).filter(([name]) => name.endsWith('Request'));

    expect(requests.length).toBeGreaterThan(8);
    // Credentials may be any text that fits into a body: what is none is answered like any other, at no cost.
    expect(requests.flatMap(([name, schema]) => open(schema, name)).sort()).toEqual([
      ...[
        'IntrospectionRequest.token',
        'IntrospectionRequest.token_type_hint',
        'RefreshRequest.refreshToken',
      ],
      'ReportKeyRequest.apiKey',
    ]);
  });
});
