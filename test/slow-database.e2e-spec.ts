import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MASTER_SECRET, startApp, type TestApp } from './support/app';
import { callApi } from './support/call';
import { type DocumentedOperation, operations } from './support/contract';
import { createMysqlDatabase, type TestDatabase } from './support/database';
import { type Belongings, callOf, DONE_ALREADY } from './support/every-operation';
import { BELIEVING, fromFreshAddress } from './support/fresh-address';
import { halfDone } from './support/half-done';
import { bearer } from './support/instances';
import { MariadbServer } from './support/mariadb-server';
import { type LoginBody, newcomer, sessionIdOf, signUp } from './support/people';
import { Scrape } from './support/scrape';
import { Program, settingsFor, startServer } from './support/server-process';
import { type Cut, type Passage, TcpProxy } from './support/tcp-proxy';
import { faultRounds, longFaults } from './support/thoroughness';

const ROUNDS = faultRounds(1, 10);

/** Milliseconds within which whoever asks has an answer. */
const LONGEST_ANSWER_MS = 3_500;

/** Milliseconds that a machine adds on which everything else is tested at the same time, as it is not in the long run. */
const BUSY_MACHINE_MS = longFaults ? 0 : 1_000;

/** Milliseconds within which an operator's command must have ended, its start among them. */
const LONGEST_COMMAND_MS = 15_000 + BUSY_MACHINE_MS;

/** The whole packet by which a client takes leave of a MySQL server. */
const COM_QUIT = '\u0001\u0000\u0000\u0000\u0001';

/** Milliseconds within which the service must be well again. */
const RECOVERY_MS = 20_000;

const PEOPLE = 3;
const PASSWORD = 'nine kettles and a lantern';

/** The statement by which a refresh is done: it commits by itself. */
const REFRESH = 'UPDATE sessions SET generation';

/** What happens on the way. */
interface Trouble {
  name: string;
  passage?: Passage;
  cut?: Cut;
  /** What there must be among the answers of those who need the database. */
  answers: number[];
  /** Whether every operation of the API is asked for as well, once. */
  all?: true;
}

const TROUBLES: Trouble[] = [
  { name: 'takes 0.2 seconds each way', passage: { delayMs: 200 }, answers: [200], all: true },
  { name: 'takes 2 seconds each way', passage: { delayMs: 2_000 }, answers: [503], all: true },
  { name: 'takes 30 seconds each way', passage: { delayMs: 30_000 }, answers: [503] },
  { name: 'lets nothing pass', passage: 'nothing passes', answers: [503] },
  {
    name: 'is reset before a commit is heard',
    cut: { at: 'COMMIT', heard: false },
    answers: [200, 503],
  },
  {
    name: 'is reset after a commit is heard',
    cut: { at: 'COMMIT', heard: true },
    answers: [200, 503],
  },
  {
    name: 'is reset before the update of a refresh is heard',
    cut: { at: REFRESH, heard: false },
    answers: [200, 503],
  },
  {
    name: 'is reset after the update of a refresh is heard',
    cut: { at: REFRESH, heard: true },
    answers: [200, 503],
  },
];

interface Reply {
  name: string;
  status: number;
  milliseconds: number;
}

/** What is asked of a service that has just been asked the same, and needs no database. */
const FROM_MEMORY = ['verification of a token', 'verification of a key'];

/** A request that may be repeated, and what answers tell that it has been done, this time or before. */
interface Errand {
  name: string;
  done: number[];
  send(): Promise<Reply>;
}

describe('a way to the database that', () => {
  let mariadb: MariadbServer;
  let database: TestDatabase;
  let proxy: TcpProxy;
  let server: Program & { url: string };
  /** By the name of the trouble. */
  const replies = new Map<string, Reply[]>();
  beforeAll(async () => {
    mariadb = await MariadbServer.create();
    database = await createMysqlDatabase(mariadb.url);
    proxy = await TcpProxy.to(mariadb.port);
    const url = proxy.leadingTo(database.url);
    server = await startServer(settingsFor({ ...database, url }, BELIEVING));
  }, 60_000);
  afterAll(async () => {
    server.signal('SIGTERM');
    await server.exit();
    await proxy.close();
    await mariadb.remove();
  });

  let count = 0;
  const call = async (method: string, path: string, headers: Record<string, string> = {}, body?: object) => {
    const begun = performance.now();
    const answer = await callApi(server.url, method, path, { ...headers, ...fromFreshAddress() }, body);
    return { ...answer, milliseconds: performance.now() - begun };
  };

  const account = (username: string) => ({ username, email: `${username}@example.com`, password: PASSWORD });

  /** Everything that somebody with an account does, but signing out. */
  const errandsOf = async (): Promise<Errand[]> => {
    const username = `person-${(count += 1)}`;
    await call('POST', '/users', {}, account(username));
    const { body } = await call('POST', '/auth/login', {}, { username, password: PASSWORD });
    const { token = '', refreshToken } = body;
    const { apiKey = '' } = (await call('POST', '/auth/keys', bearer(token), {})).body;
    const errand = (name: string, done: number[], ...request: Parameters<typeof call>): Errand => ({
      ...{ name, done },
      send: async () => ({ name, ...(await call(...request)) }),
    });
    return [
      errand('verification of a token', [200], 'GET', '/auth/verify', bearer(token)),
      errand('verification of a key', [200], 'GET', '/auth/verify', { 'x-api-key': apiKey }),
      errand('list of sessions', [200], 'GET', '/auth/sessions', bearer(token)),
      errand('login', [200], 'POST', '/auth/login', {}, { username, password: PASSWORD }),
      errand('sign-up', [201, 409], 'POST', '/users', {}, account(`${username}-again`)),
      errand('new key', [201], 'POST', '/auth/keys', bearer(token), {}),
      errand(
        'refresh',
        [200],
        'POST',
        '/auth/refresh',
        { 'Idempotency-Key': `the-refresh-of-${username}` },
        { refreshToken },
      ),
    ];
  };

  /** The call of an operation by somebody who makes no other. */
  const onlyErrandOf = async (of: DocumentedOperation): Promise<Errand> => {
    const username = `only-${(count += 1)}`;
    await call('POST', '/users', {}, account(username));
    const { body } = await call('POST', '/auth/login', {}, { username, password: PASSWORD });
    const { token = '', refreshToken = '' } = body;
    const key = await call('POST', '/auth/keys', bearer(token), { scopes: ['users:read', 'introspect'] });
    const { keyId = '', apiKey = '' } = key.body;
    const own: Belongings = {
      ...{ username, password: PASSWORD, token, refreshToken, keyId, apiKey },
      sessionId: sessionIdOf({ token }),
    };
    const { path, request } = callOf(of, own, `${username}-again`);
    return {
      name: of.id,
      done: [200, 201, 202, 204],
      send: async () => {
        const begun = performance.now();
        const headers = { ...request.headers, ...fromFreshAddress() };
        const response = await fetch(`${server.url}${path}`, { ...request, headers });
        await response.text();
        return { name: of.id, status: response.status, milliseconds: performance.now() - begun };
      },
    };
  };

  /** Whoever was told to come again has it done, or finds it done; and whatever was said to be done is. */
  const unkept = async (errands: Errand[], round: Reply[]): Promise<Reply[]> => {
    const again = await Promise.all(errands.map((errand) => errand.send()));
    return again.filter(({ name, status }, index) => {
      const wasDone = round[index]?.status !== 503;
      const found = DONE_ALREADY[name];
      if (wasDone && found !== undefined) return status !== found;
      return !errands[index]?.done.includes(status) && (wasDone || status !== found);
    });
  };

  /** Sends the errands while there is trouble, twice: where nothing comes through, what the service knows of revocations grows old. */
  const during = async (
    { passage, cut }: Trouble,
    errands: Errand[],
    once: Errand[],
  ): Promise<{ round: Reply[]; only: Reply[] }> => {
    const sendAll = () => Promise.all(errands.map((errand) => errand.send()));
    if (passage) proxy.let(passage);
    proxy.cutAt(cut);
    try {
      const first = await sendAll();
      if (passage) await delay(1_000);
      const second = await sendAll();
      const only = await Promise.all(once.map((errand) => errand.send()));
      return { round: [...first, ...second], only };
    } finally {
      proxy.let({ delayMs: 0 });
      proxy.cutAt(undefined);
      const deadline = performance.now() + RECOVERY_MS;
      while ((await fetch(`${server.url}/health/ready`)).status !== 200) {
        expect(performance.now()).toBeLessThan(deadline);
        await delay(20);
      }
    }
  };

  it.each(TROUBLES)(
    '$name has everybody answered as it should be or 503, and ends no session',
    async (trouble) => {
      for (let turn = 0; turn < ROUNDS; turn += 1) {
        const errands = (await Promise.all(Array.from({ length: PEOPLE }, errandsOf))).flat();
        const once: Errand[] = [];
        for (const of of trouble.all ? operations : []) once.push(await onlyErrandOf(of));
        const cutBefore = proxy.cuts;

        const { round, only } = await during(trouble, errands, once);
        replies.set(trouble.name, [...(replies.get(trouble.name) ?? []), ...round, ...only]);
        const again = await Promise.all(errands.map((errand) => errand.send()));

        if (trouble.cut) expect(proxy.cuts - cutBefore).toBeGreaterThanOrEqual(PEOPLE);
        const done = new Map(errands.map((errand) => [errand.name, errand.done]));
        expect(
          round.filter(({ name, status }) => status !== 503 && !done.get(name)?.includes(status)),
        ).toEqual([]);
        expect(only.filter(({ status }) => status >= 300 && status !== 503)).toEqual([]);
        expect(await unkept(once, only)).toEqual([]);
        const needy = round.filter(({ name }) => !FROM_MEMORY.includes(name));
        const statuses = new Set(needy.map(({ status }) => status));
        expect(trouble.answers.filter((status) => !statuses.has(status))).toEqual([]);
        expect(again.filter(({ name, status }) => !done.get(name)?.includes(status))).toEqual([]);
        // Those who make one call only may have asked for it, but have shown no token twice.
        const ended = await database.rows(
          `SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.revoked_at IS NOT NULL
           AND (u.username NOT LIKE 'only-%' OR s.revocation_reason = 'refresh_token_reused')`,
        );
        expect(ended).toEqual([]);
        expect(await halfDone(database)).toEqual([]);
      }
    },
    60_000 + ROUNDS * 30_000,
  );

  it.each(TROUBLES)('$name has everybody answered in time: within three and a half seconds', ({ name }) => {
    const given = replies.get(name) ?? [];

    expect(given.length).toBeGreaterThan(0);
    expect(given.filter(({ milliseconds }) => milliseconds > LONGEST_ANSWER_MS + BUSY_MACHINE_MS)).toEqual(
      [],
    );
  });
});

describe('a database that hangs on some of its connections', () => {
  let mariadb: MariadbServer;
  let proxy: TcpProxy;
  let app: TestApp;
  beforeAll(async () => {
    mariadb = await MariadbServer.create();
    const database = await createMysqlDatabase(mariadb.url);
    proxy = await TcpProxy.to(mariadb.port);
    const through = { ...database, url: proxy.leadingTo(database.url) };
    const settings = { RATE_LIMITS: 'off', METRICS: 'on', AUTH_SECRET: MASTER_SECRET };
    app = await startApp(settings, { database: through });
  }, 60_000);
  afterAll(async () => {
    await app.close();
    await proxy.close();
    await mariadb.remove();
  });

  it('leaves no account locked out and no connection in use where one is killed that had yet to be set up', async () => {
    // More at once than connections are open by now: some are new, and have yet to be set up.
    const people: LoginBody[] = [];
    for (let count = 0; count < 8; count += 1) people.push(await newcomer(app));
    const newKeys = () =>
      Promise.all(
        people.map(async ({ token }) => (await app.call('POST', '/auth/keys', { token, body: {} })).status),
      );
    proxy.muteAt('SET SESSION');

    const whileHung = await newKeys();
    proxy.muteAt(undefined);
    const hung = proxy.endMuted();
    const afterwards = await newKeys();

    expect(hung).toBeGreaterThan(0);
    expect(whileHung.filter((status) => status === 503).length).toBeGreaterThan(0);
    expect(afterwards).toEqual(people.map(() => 201));
    const deadline = performance.now() + RECOVERY_MS;
    let left = await unitsUnderWay(app);
    while (left > 0 && performance.now() < deadline) left = await unitsUnderWay(app);
    expect(left).toBe(0);
  }, 60_000);

  it.each([2, 5])(
    'has %i who sign in under one name at once answered in time, each by his own',
    async (many) => {
      await app.restart({ RATE_LIMITS: 'on' });
      const { username, password } = await signUp(app);
      const login = async () => {
        const begun = performance.now();
        const { status } = await app.call('POST', '/auth/login', { body: { username, password } });
        return { status, milliseconds: performance.now() - begun };
      };
      proxy.muteAt('password_attempts');

      const whileHung = await Promise.all(Array.from({ length: many }, login));
      proxy.muteAt(undefined);
      const hung = proxy.endMuted();
      const afterwards = await login();

      expect(hung).toBeGreaterThan(0);
      expect(whileHung.map(({ status }) => status)).toEqual(whileHung.map(() => 503));
      expect(
        whileHung.filter(({ milliseconds }) => milliseconds > LONGEST_ANSWER_MS + BUSY_MACHINE_MS),
      ).toEqual([]);
      expect(afterwards.status).toBe(200);
      // Nobody was let in, so nothing counts as a failure.
      expect(await app.rows('SELECT id FROM password_attempts WHERE in_a_row > 0')).toEqual([]);
    },
    60_000,
  );
});

describe("an operator's command, where the database hangs on whoever says certain words,", () => {
  let app: TestApp;
  let proxy: TcpProxy;
  beforeAll(async () => {
    app = await startApp({ AUTH_SECRET: MASTER_SECRET });
    proxy = await TcpProxy.to(Number(new URL(app.database.url).port || 3306));
    await newcomer(app);
  }, 60_000);
  afterEach(() => {
    proxy.overhear(() => undefined);
    proxy.let({ delayMs: 0 });
    proxy.muteAt(undefined);
    proxy.endMuted();
  });
  afterAll(async () => {
    await proxy.close();
    await app.close();
  });

  /** One that has not ended by itself in time is killed, and has no exit code then. */
  const endOf = async (line: string, database = app.database) => {
    const through = { ...database, url: proxy.leadingTo(database.url) };
    const script = [join('scripts', 'start.mjs'), 'latchkey', ...line.split(' ')];
    const program = new Program(script, settingsFor(through));
    const patience = setTimeout(() => program.signal('SIGKILL'), LONGEST_COMMAND_MS);
    const code = await program.exit();
    clearTimeout(patience);
    return { code, said: program.stdout + program.stderr };
  };

  it('ends also where the server hears of no leave that is taken, and ends no connection', async () => {
    proxy.muteAt(COM_QUIT);

    const { code, said } = await endOf('user show somebody');

    expect([code, said]).toEqual([1, "There is no user 'somebody'.\n"]);
    expect(proxy.endMuted()).toBeGreaterThan(0);
  }, 60_000);

  it.each<[string, string, RegExp]>([
    ['doctor', 'TRANSACTION READ ONLY', /^fail {2}database .* has let us in and then not answered; /m],
    ['doctor', 'FROM migrations', /^fail {2}database .* cannot be read: /m],
    ['migrate status', 'FROM migrations', /^The migrations cannot be read /],
    ['session revoke --all', 'TRANSACTION READ ONLY', / has let us in and then not answered; .*\.\n$/],
    ['migrate up', 'SELECT version() as version', /^The database .* cannot be prepared .*\.\n$/],
    ['migrate up', 'GET_LOCK', /^The database .* cannot be prepared .*\.\n$/],
    ['migrate up', 'SELECT * FROM `', /^The database .* cannot be prepared .*\.\n$/],
    ['migrate up', 'SELECT VERSION()', / has let us in and then not answered; .*\.\n$/],
    [
      'session revoke --all',
      'UPDATE sessions',
      /could not be ended; repeat it\. Service temporarily unavailable: .*\.\n$/,
    ],
    ['session revoke --all', 'ISOLATION LEVEL', /^The database .* cannot be prepared .*\.\n$/],
  ])(
    '%s ends, saying why, at %s',
    async (line, words, sentence) => {
      proxy.muteAt(words);

      const { code, said } = await endOf(line);

      expect(code).toBe(1);
      expect(said).toMatch(sentence);
    },
    60_000,
  );

  it.each(['INTO migration_under_way', 'SELECT statement FROM', 'INSERT INTO `'])(
    'migrate up ends in the middle of a migration, at %s, and the next one goes on behind that',
    async (words) => {
      const database = await createMysqlDatabase(process.env['DATABASE_URL'] as string);
      proxy.muteAt(words);

      const { code, said } = await endOf('migrate up', database);
      proxy.muteAt(undefined);
      const hung = proxy.endMuted();
      const next = await endOf('migrate up', database);
      await database.drop();

      expect(hung).toBe(1);
      expect(code).toBe(1);
      expect(said).toMatch(/^The database .* cannot be prepared \(Query inactivity timeout\); .*\.$/m);
      expect(next.code).toBe(0);
    },
    60_000,
  );

  it('migrate up waits for a statement of a migration that takes longer than any other may', async () => {
    const database = await createMysqlDatabase(process.env['DATABASE_URL'] as string);
    let held = 0;
    proxy.overhear((chunk, speaker) => {
      const isHeld = speaker === 'client' && held === 0 && chunk.includes('CREATE TABLE users');
      if (isHeld) held += 1;
      proxy.let({ delayMs: isHeld ? LONGEST_ANSWER_MS : 0 });
    });

    const { code } = await endOf('migrate up', database);
    await database.drop();

    expect([code, held]).toEqual([0, 1]);
  }, 60_000);
});

/** Units of work that hold a connection or wait for one. */
const unitsUnderWay = async ({ url }: TestApp): Promise<number> => {
  const now = await Scrape.from(url);
  return now.value('latchkey_database_connections_used') + now.value('latchkey_database_waiting');
};
