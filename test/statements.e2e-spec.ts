import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiKeyVerifier } from '../src/api-keys/api-key-verifier';
import { MOST_AT_ONCE } from '../src/api-keys/key-lookups';
import { KeyUsage, SecretUsage } from '../src/api-keys/key-usage';
import { AuditSealer } from '../src/audit/audit-sealer';
import type { RowCleanup } from '../src/database/row-cleanup';
import { CounterKeeper } from '../src/rate-limit/counter-keeper';
import { LimitCountersCleanup } from '../src/rate-limit/limit-counters-cleanup';
import { PasswordAttemptsCleanup } from '../src/rate-limit/password-attempts-cleanup';
import { RateLimits } from '../src/rate-limit/rate-limits';
import { RevocationCleanup } from '../src/revocation/revocation-cleanup';
import { SystemRandom } from '../src/core/random';
import { ApiKeyFormat } from '../src/crypto/api-key-format';
import { RevocationFeed } from '../src/revocation/revocation-feed';
import { SessionCleanup } from '../src/sessions/session-cleanup';
import { SessionUsage } from '../src/sessions/session-usage';
import { startApp, type TestApp } from './support/app';
import { createDatabase, onMysql } from './support/database';
import { DatabaseTraffic, type Traffic } from './support/database-traffic';
import { fillTables } from './support/many-rows';
import { quiet } from './support/quiet';
import { createKey, logIn, newcomer, sessionIdOf, signUp, statusWith } from './support/people';
import {
  type Access,
  accessesOf,
  searches,
  type Statement,
  statementsDuring,
  withoutChange,
} from './support/statements';

/**
 * Rows per table: enough for an engine to prefer an index where there is one. `STATEMENTS_ROWS` of 1,000,000 counts on a database
 * that has been used for long.
 */
const ROWS = Number(process.env['STATEMENTS_ROWS'] ?? 2_000);

/** Putting in a million takes half a minute. */
const PREPARATION_MS = 120_000 + ROWS / 10;

/** What clients ask for most. */
const HOT = /^(login|logout|refresh|verification|introspection|GET)\b/;

/** Within 50, which is less than a statement more that finds something. Names and numbers may be some letters longer. */
const about = (bytes: number): unknown => (bytes === 0 ? 0 : expect.closeTo(bytes, -2));

describe('the statements that the service sends', () => {
  let app: TestApp;
  let way: DatabaseTraffic | undefined;
  const flows = new Map<string, Statement[]>();
  const traffic = new Map<string, Traffic>();
  const hot = new Map<string, Access[]>();
  let filled: string[];

  beforeAll(async () => {
    const database = await createDatabase();
    way = onMysql ? await DatabaseTraffic.to(database.url) : undefined;
    app = await startApp({ REFRESH_GRACE: '10', ...(way && { DATABASE_URL: way.url }) }, { database });
    await quiet(app);
    await leaveTraces(app);
    filled = await fillTables((sql, values) => app.rows(sql, values), {
      users: Math.max(2_000, ROWS / 10),
      sessions: ROWS,
      analyze: onMysql ? 'ANALYZE TABLE' : 'ANALYZE',
    });
    const feed = app.nest.get(RevocationFeed);
    // What was read long enough ago is not read again with every poll.
    await feed.poll();
    app.clock.push(16);
    for (const [name, { before, flow }] of Object.entries(await prepare(app))) {
      await before?.();
      // What the feed has read counts as fresh, however long it took: else each request would ask the database as well.
      await app.clock.suspendedDuring(async () => {
        await feed.poll();
        const sent = async () => void flows.set(name, await statementsDuring(app, flow));
        if (way && HOT.test(name)) traffic.set(name, await way.during(app, sent));
        else await sent();
      });
      if (!HOT.test(name)) continue;
      // While there is what they look for.
      for (const statement of flows.get(name)?.filter(searches) ?? []) {
        hot.set(statement.sql, await accessesOf(app, withoutChange(statement)));
      }
    }
  }, PREPARATION_MS);
  afterAll(async () => {
    await app.close();
    await way?.close();
  }, PREPARATION_MS);

  it('find their rows by an index, each of them but the list of migrations', async () => {
    const distinct = new Map([...flows.values()].flat().map((statement) => [statement.sql, statement]));
    const searching = [...distinct.values()].filter(searches);

    const scans: string[] = [];
    for (const statement of searching) {
      for (const { table, scans: all, plan } of await accessesOf(app, statement)) {
        // As many rows as there are migrations, however long the service has been used.
        if (all && table !== 'migrations') scans.push(`${table}: ${plan} in ${statement.sql}`);
      }
    }

    expect(filled).toHaveLength(8);
    expect(searching.length).toBeGreaterThan(30);
    expect(scans).toEqual([]);
  }, 60_000);

  it('look for one row by a primary key or a unique index in what is asked for most, but for what docs/scaling.md excepts', () => {
    const unexplained = [...hot].filter(([, accesses]) => accesses.length === 0);
    const others = [...hot.values()].flat().filter(({ unique }) => !unique);

    expect(unexplained).toEqual([]);
    expect(hot.size).toBeGreaterThan(10);
    expect(new Set(others.map(({ table, index }) => `${table} by ${index}`))).toEqual(exceptions());
  });

  it('are as many as docs/scaling.md says', () => {
    const counted = Object.fromEntries([...flows].map(([name, statements]) => [name, count(statements)]));

    expect(counted).toEqual(documented());
  });

  (onMysql ? it : () => undefined)('read and write as many rows and bytes as docs/scaling.md says', () => {
    const pages = documentedTraffic();

    const counted = Object.keys(pages).map((name) => [name, traffic.get(name)]);

    expect(Object.keys(pages)).toEqual(
      expect.arrayContaining(['login', 'refresh', 'verification of a token', 'verification of a key, first']),
    );
    expect(Object.fromEntries(counted)).toEqual(pages);
  });
});

interface Counts {
  reads: number;
  writes: number;
  /** That have something to commit. */
  commits: number;
}

function count(statements: readonly Statement[]): Counts {
  const counts: Counts = { reads: 0, writes: 0, commits: 0 };
  let written: boolean | undefined;
  for (const { sql } of statements) {
    if (sql === 'BEGIN') written = false;
    else if (sql === 'COMMIT') {
      if (written) counts.commits += 1;
      written = undefined;
    } else if (/^\s*SELECT/i.test(sql)) counts.reads += 1;
    else {
      counts.writes += 1;
      // Outside a transaction each commits by itself.
      if (written === undefined) counts.commits += 1;
      else written = true;
    }
  }
  return counts;
}

function page(): string {
  return readFileSync(join(__dirname, '..', 'docs', 'scaling.md'), 'utf8');
}

/** Its tables of statements: `| what | reads | writes | commits | …`. */
function documented(): Record<string, Counts> {
  const lines = [...page().matchAll(/^\| (.+?) +\| (\d+) +\| (\d+) +\| (\d+) +\|/gm)];
  return Object.fromEntries(
    lines.map(([, what = '', reads, writes, commits]) => [
      what,
      { reads: Number(reads), writes: Number(writes), commits: Number(commits) },
    ]),
  );
}

/** The searches that the page allows to look at several rows: `| table by index | …`. */
function exceptions(): Set<string | undefined> {
  return new Set([...page().matchAll(/^\| (\w+ by \w+) +\|/gm)].map(([, search]) => search));
}

/** Its table of rows and bytes: `| what | read | written | sent B | received B |`. */
function documentedTraffic(): Record<string, unknown> {
  const lines = page().matchAll(/^\| (.+?) +\| (\d+) +\| (\d+) +\| (\d+) B +\| (\d+) B +\|/gm);
  return Object.fromEntries(
    [...lines].map(([, what = '', read, written, sent, received]) => [
      what,
      {
        ...{ read: Number(read), written: Number(written) },
        ...{ sent: about(Number(sent)), received: about(Number(received)) },
      },
    ]),
  );
}

const CLEANUPS = [SessionCleanup, RevocationCleanup, PasswordAttemptsCleanup, LimitCountersCleanup];

/** A row in every table that grows with use. */
async function leaveTraces(app: TestApp): Promise<void> {
  const { username, token } = await newcomer(app);
  await createKey(app, token);
  await app.call('POST', '/auth/login', { body: { username, password: 'x' } });
  await app.call('POST', '/auth/logout', { token });
  await countSignUps(app);
  await app.nest.get(CounterKeeper).flush();
}

/** So many sign-ups of one address that the count is to be kept. */
async function countSignUps(app: TestApp): Promise<void> {
  const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };
  for (let count = 0; count < 10; count += 1) {
    await app.nest.get(RateLimits).take('sign-up', 'an address', { userId: null, origin });
  }
}

/** Something that is done once, and what has to be so before. */
interface Flow {
  before?: () => Promise<unknown>;
  flow: () => Promise<unknown>;
}

/** As it was given out but for one letter: in the signature of a token, before the checksum of a key. */
function withAnotherLetter(credential: string): string {
  return `${credential.slice(0, -10)}${credential.at(-10) === 'A' ? 'B' : 'A'}${credential.slice(-9)}`;
}

/** Keys that nobody has, with checksums that are right. */
function madeUpKeys(count: number): string[] {
  const [format, random] = [new ApiKeyFormat('live'), new SystemRandom()];
  return Array.from({ length: count }, () => format.generate(random));
}

/** Everything that clients ask for and that goes on in the background. */
async function prepare(app: TestApp): Promise<Record<string, Flow>> {
  const person = await newcomer(app);
  const other = await newcomer(app);
  const leaver = await newcomer(app);
  const homecomer = await newcomer(app);
  const { token } = person;
  const credentials = { username: person.username, password: person.password };
  const key = await createKey(app, token, { scopes: ['users:read', 'introspect'] });
  const spare = await createKey(app, token);
  const found = await createKey(app, token);
  const second = await logIn(app, person);
  const third = await logIn(app, person);
  const feed = app.nest.get(RevocationFeed);
  const verifier = app.nest.get(ApiKeyVerifier);
  let latest = third.refreshToken;
  const call = (method: string, path: string, options: object = {}): Flow => ({
    flow: () => app.call(method, path, options),
  });
  const refused = (method: string, path: string, options: object): Flow => ({
    flow: async () => expect((await app.call(method, path, options)).status).toBe(401),
  });
  const refresh = async () => {
    const call = { body: { refreshToken: latest } };
    latest = (await app.call<{ refreshToken: string }>('POST', '/auth/refresh', call)).body.refreshToken;
  };
  const sealer = app.nest.get(AuditSealer);
  const writeUses = async () => {
    for (const uses of [SessionUsage, KeyUsage, SecretUsage]) await app.nest.get(uses).flush();
  };
  /** While the last poll was a second ago, so that another instance may have revoked what is not known of here. */
  const late = ({ flow }: Flow): Flow => ({
    flow: () => {
      Object.assign(feed, { lastPoll: app.clock.monotonic() - 1_000 });
      return flow();
    },
  });
  return {
    'sign-up': { flow: () => signUp(app) },
    login: {
      // What an earlier one has written into the row of its attempts is forgotten by then.
      before: () => Promise.resolve(app.clock.advance(11)),
      flow: () => app.call('POST', '/auth/login', { body: credentials }),
    },
    'login again within ten seconds': {
      before: () => app.call('POST', '/auth/login', { body: credentials }),
      flow: () => app.call('POST', '/auth/login', { body: credentials }),
    },
    'login with a device token': call('POST', '/auth/login', {
      body: { ...credentials, deviceToken: person.deviceToken },
    }),
    'login with a wrong password': call('POST', '/auth/login', {
      body: { username: other.username, password: 'x' },
    }),
    'login of nobody': call('POST', '/auth/login', { body: { username: 'nobody', password: 'x' } }),
    refresh: { flow: refresh },
    'refresh, repeated within the grace': call('POST', '/auth/refresh', {
      body: { refreshToken: third.refreshToken },
    }),
    'refresh with a malformed token': refused('POST', '/auth/refresh', {
      body: { refreshToken: 'rt_malformed' },
    }),
    'refresh with a forged token': refused('POST', '/auth/refresh', {
      body: { refreshToken: withAnotherLetter(third.refreshToken) },
    }),
    'verification of a token': call('GET', '/auth/verify', { token }),
    'verification of a key, first': call('GET', '/auth/verify', { key: key.apiKey }),
    'verification of a key, again': call('GET', '/auth/verify', { key: key.apiKey }),
    'verification of a token, feed late': late(call('GET', '/auth/verify', { token })),
    'verification of a key, feed late': late(call('GET', '/auth/verify', { key: key.apiKey })),
    'verification of 101 keys at once': {
      // Those that come while the first is looked for are looked for together.
      flow: () => Promise.all(madeUpKeys(1 + MOST_AT_ONCE).map((made) => verifier.verify(made))),
    },
    'verification of a mistyped key': refused('GET', '/auth/verify', { key: withAnotherLetter(key.apiKey) }),
    'GET /users/me by token': call('GET', '/users/me', { token }),
    'GET /users/me by key': call('GET', '/users/me', { key: key.apiKey }),
    'introspection of a key': call('POST', '/auth/introspect', {
      key: key.apiKey,
      body: { token: found.apiKey },
    }),
    'readiness asked for': { flow: () => app.fetch('/health/ready') },
    'introspection of a token': call('POST', '/auth/introspect', {
      key: key.apiKey,
      body: { token: second.token },
    }),
    'list of sessions': call('GET', '/auth/sessions', { token }),
    'list of keys': call('GET', '/auth/keys', { token }),
    'list of events': call('GET', '/auth/events', { token }),
    'key made': call('POST', '/auth/keys', { token, body: {} }),
    'key changed': call('PATCH', `/auth/keys/${spare.keyId}`, { token, body: { name: 'Spare' } }),
    'key rotated': call('POST', `/auth/keys/${spare.keyId}/rotate`, { token, body: { overlapSeconds: 60 } }),
    'key deleted': call('DELETE', `/auth/keys/${spare.keyId}`, { token }),
    'key reported': call('POST', '/auth/keys/report', { body: { apiKey: found.apiKey } }),
    'profile changed': call('PATCH', '/users/me', { token, body: { email: 'new@example.com' } }),
    'session ended': call('DELETE', `/auth/sessions/${sessionIdOf(third)}`, { token }),
    logout: call('POST', '/auth/logout', { token: second.token }),
    'all sessions ended': {
      before: () => logIn(app, homecomer),
      flow: () => app.call('DELETE', '/auth/sessions', { token: homecomer.token }),
    },
    'refresh token replayed': {
      before: async () => {
        latest = other.refreshToken;
        await refresh();
        await refresh();
      },
      flow: () => app.call('POST', '/auth/refresh', { body: { refreshToken: other.refreshToken } }),
    },
    'password changed': call('POST', '/users/me/password', {
      token,
      body: { currentPassword: person.password, newPassword: 'seven copper lanterns' },
    }),
    'account deleted': call('DELETE', '/users/me', {
      token: leaver.token,
      body: { password: leaver.password },
    }),
    'poll of the revocation feed': {
      before: async () => {
        await feed.poll();
        app.clock.push(16);
      },
      flow: () => feed.poll(),
    },
    'uses written down': { flow: writeUses },
    'uses of three seconds written down': {
      before: async () => {
        for (let second = 0; second < 3; second += 1) {
          app.clock.advance(1);
          const { token: used } = await newcomer(app);
          const { apiKey } = await createKey(app, used);
          expect(await statusWith(app, { key: apiKey })).toBe(200);
        }
      },
      flow: writeUses,
    },
    'limits written down': {
      before: () => countSignUps(app),
      flow: () => app.nest.get(CounterKeeper).flush(),
    },
    'nothing used, nothing to limit': {
      flow: async () => {
        for (const uses of [SessionUsage, KeyUsage, SecretUsage, CounterKeeper]) {
          await app.nest.get<{ flush(): Promise<void> }>(uses).flush();
        }
      },
    },
    'no event to seal': {
      before: async () => {
        // Told to stop, it goes on to seal one batch whenever it is asked.
        while ((await sealer.sealAll()) > 0);
      },
      flow: () => sealer.sealAll(),
    },
    'an event sealed': {
      before: async () => {
        await app.call('POST', '/auth/login', { body: { username: other.username, password: 'x' } });
      },
      flow: () => sealer.sealAll(),
    },
    'dead rows removed': {
      before: () => Promise.resolve(app.clock.advance(365 * 24 * 3600)),
      flow: async () => {
        for (const cleanup of CLEANUPS) {
          await app.nest.get<RowCleanup>(cleanup).sweep();
        }
      },
    },
    'limits read at the start': {
      // Of many windows that are over, and by a keeper that has read nothing yet.
      before: () => Promise.resolve(app.clock.advance(15 * 365 * 24 * 3600)),
      flow: () => {
        const keeper = app.nest.get<{ flush(): Promise<void> }>(CounterKeeper);
        return Object.assign(keeper, { isRead: false }).flush();
      },
    },
  };
}
