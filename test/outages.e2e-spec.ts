import type { Failpoint } from '../src/core/failpoints';
import { startApp, type TestApp } from './support/app';
import { type DocumentedOperation, operations } from './support/contract';
import { onMysql } from './support/database';
import { type Belongings, callOf, DONE_ALREADY } from './support/every-operation';
import { gate } from './support/gate';
import { halfDone } from './support/half-done';
import { CALLER_HEADER, currentCaller, isInsideTransaction } from './support/interleaving';
import {
  betweenTransactions,
  type FragileDatabase,
  fragileDatabase,
  type Outage,
  outageNames,
} from './support/outages';
import { createKey, eventTypes, newcomer, sessionIdOf, statusWith, type TokensBody } from './support/people';
import { TestFailpoints } from './support/test-failpoints';
import { longFaults } from './support/thoroughness';

/** Milliseconds that a call may take, whatever happens to the database; a busy machine adds to that, but for the long run. */
const LONGEST_CALL_MS = longFaults ? 3_500 : 4_500;

/** Milliseconds within which the database must have come back. */
const RECOVERY_MS = 20_000;

/** Where a call can be when the database fails in the middle of it, and which call that is. */
const MIDDLES = {
  'sign_up:account_written': 'signUp',
  'login:password_verified': 'login',
  'login:session_written': 'login',
  'rotate:row_read': 'refresh',
  'reuse:session_revoked': 'refresh',
  'logout:session_revoked': 'logout',
  'password_change:password_verified': 'changePassword',
  'password_change:password_written': 'changePassword',
  'password_change:sessions_revoked': 'changePassword',
  'deletion:sessions_revoked': 'deleteAccount',
  'key_creation:key_written': 'createApiKey',
} satisfies Partial<Record<Failpoint, string>>;

type Middle = keyof typeof MIDDLES;

/** Operations that only read. */
const READING = [
  'getProfile',
  'listSessions',
  'listApiKeys',
  'getApiKey',
  'explainApiKey',
  'listEvents',
  'verify',
  'introspect',
  'ready',
];

/** Operations that are answered as ever while the database is out of order. Every other is answered 503. */
interface Answered {
  always: string[];
  /** As long as what this instance knows of revocations is fresh. */
  whileFresh?: string[];
  /** Where it is a matter of chance. */
  maybe?: string[];
}

/** The database cannot be used at all. A look at a token that takes long may find the feed too old already. */
const UNUSABLE: Answered = { always: ['live'], whileFresh: ['verify'] };

const ANSWERED: Record<string, Answered> = {
  'is killed': UNUSABLE,
  'stands still': UNUSABLE,
  'has lost its tables': UNUSABLE,
  // Whoever reads may have to wait behind one that wants to write, for too long.
  'is locked by another process': { always: ['live'], maybe: READING },
  // Whoever writes may find room on a page that is not full yet; that some do not is demanded below.
  'has no room left': { always: ['live', ...READING], maybe: operations.map(({ id }) => id) },
  'can be read only': { always: ['live', ...READING] },
};

/** A call that somebody makes whom no other call is about. */
interface Errand {
  operation: string;
  /** For the report of what went wrong. */
  name: string;
  run: () => Promise<Result>;
  /** Whether what an answer has acknowledged is there, where a repetition does not tell. */
  stands?: (answer: string) => Promise<boolean>;
  /** Whether all is as it should be, once it has been told to come again, and did, and was answered that. */
  isDone: (status: number) => Promise<boolean>;
}

interface Result {
  status: number;
  retryAfter: string | null;
  milliseconds: number;
  answer: string;
}

describe('a database that', () => {
  const failpoints = new TestFailpoints();
  let fragile: FragileDatabase;
  let app: TestApp;
  /** Calls that took too long. */
  const late: string[] = [];
  beforeAll(async () => {
    fragile = await fragileDatabase();
    app = await startApp({ RATE_LIMITS: 'off' }, { failpoints, database: fragile.database });
  });
  afterAll(async () => {
    await app.close();
    await fragile.remove();
  });

  let count = 0;
  const timed = async (path: string, request: RequestInit): Promise<Result> => {
    const begun = performance.now();
    const response = await app.fetch(path, request);
    const answer = await response.text();
    const { status, headers } = response;
    return {
      status,
      retryAfter: headers.get('retry-after'),
      milliseconds: performance.now() - begun,
      answer,
    };
  };

  /** How it is seen that what was acknowledged is there, other than by the answer to a repetition: by operation. */
  const standing = (operation: string, own: Belongings, sent?: string): Errand['stands'] => {
    const opened = async (credential: object) => (await app.call('GET', '/auth/verify', credential)).status;
    const field = (answer: string, name: string) => (JSON.parse(answer) as Record<string, string>)[name];
    const sees = async (path: string) => {
      const { body } = await app.call('GET', path, { token: own.token });
      const fields = Object.entries(JSON.parse(sent ?? '{}') as object);
      return fields.every(([name, value]) => JSON.stringify(body[name]) === JSON.stringify(value));
    };
    const ways: Record<string, Errand['stands']> = {
      login: async (answer) => (await opened({ token: field(answer, 'token') })) === 200,
      updateProfile: () => sees('/users/me'),
      createApiKey: async (answer) => (await opened({ key: field(answer, 'apiKey') })) === 200,
      rotateApiKey: async (answer) => (await opened({ key: field(answer, 'apiKey') })) === 200,
      updateApiKey: () => sees(`/auth/keys/${own.keyId}`),
      reportApiKey: async () => (await opened({ key: own.apiKey })) === 401,
    };
    return ways[operation];
  };

  it('is asked afterwards about each kind of call that writes', () => {
    const own = {} as Belongings;
    const looked = operations.filter(({ id }) => id in DONE_ALREADY || standing(id, own)).map(({ id }) => id);

    expect([...looked, ...READING, 'live'].sort()).toEqual(operations.map(({ id }) => id).sort());
  });

  /** Prepares a call, so that nothing but the call itself is left to be done. */
  const prepare = async (of: DocumentedOperation, caller?: string): Promise<Errand> => {
    const person = await newcomer(app);
    const { keyId, apiKey } = await createKey(app, person.token, { scopes: ['users:read', 'introspect'] });
    const own = { ...person, keyId, apiKey, sessionId: sessionIdOf(person) };
    const { path, request } = callOf(of, own, `outage-${(count += 1)}`);
    Object.assign(request.headers, caller !== undefined && { [CALLER_HEADER]: caller });
    const stands = standing(of.id, own, request.body);
    return {
      operation: of.id,
      name: caller ?? of.id,
      run: () => timed(path, request),
      ...(stands && { stands }),
      isDone: (status) => Promise.resolve(status < 300),
    };
  };

  /** Prepares a thief's refresh, with a token that was replaced twice. When he comes again, he is told that it is over. */
  const prepareReplay = async (caller: string): Promise<Errand> => {
    const { id, refreshToken: stolen } = await newcomer(app);
    const refresh = (refreshToken: string) =>
      app.call<TokensBody>('POST', '/auth/refresh', { body: { refreshToken } });
    const { body: second } = await refresh(stolen);
    const { body: third } = await refresh(second.refreshToken);
    const headers = { 'content-type': 'application/json', [CALLER_HEADER]: caller };
    const request = { method: 'POST', headers, body: JSON.stringify({ refreshToken: stolen }) };
    return {
      operation: 'refresh',
      name: caller,
      run: () => timed('/api/v1/auth/refresh', request),
      isDone: async (status) => {
        const owners = [(await refresh(third.refreshToken)).status, await statusWith(app, third)];
        const told = (await eventTypes(app, id)).filter((type) => type === 'refresh_token_reused');
        return [status, ...owners].every((each) => each === 401) && told.length === 1;
      },
    };
  };

  /** One call of every operation that there is. */
  const prepareAll = async (): Promise<Errand[]> => {
    const errands: Errand[] = [];
    for (const of of operations) errands.push(await prepare(of));
    return errands;
  };

  const runAll = (errands: Errand[]): Promise<Result[]> => Promise.all(errands.map((errand) => errand.run()));

  /** What is wrong with the answers, of which some may be as ever and all others must be 503. */
  const complaints = (
    errands: Errand[],
    results: Result[],
    { always, maybe }: { always: string[]; maybe: string[] },
  ): string[] =>
    errands.flatMap(({ operation, name }, index) => {
      const { status, retryAfter, milliseconds } = results[index] as Result;
      if (milliseconds > LONGEST_CALL_MS) late.push(`${name} took ${Math.round(milliseconds)} ms`);
      const answered = status < 300 && [...always, ...maybe].includes(operation);
      const refused = status === 503 && retryAfter !== null && !always.includes(operation);
      return answered || refused ? [] : [`${name} was answered ${status}`];
    });

  /** Does something while the database is out of order; returns when it is back. */
  const during = async <T>(
    outage: Outage,
    work: () => Promise<T>,
    { insideTransaction = false } = {},
  ): Promise<T> => {
    if (onMysql || insideTransaction) await outage.begin(app);
    else await betweenTransactions(app, () => outage.begin(app));
    try {
      return await work();
    } finally {
      await outage.end(app);
      const deadline = performance.now() + RECOVERY_MS;
      while ((await app.fetch('/health/ready')).status !== 200) {
        expect(performance.now()).toBeLessThan(deadline);
      }
    }
  };

  /** Whoever was told to come again does so, with the same tokens. */
  const comeAgain = async (errands: Errand[], results: Result[]): Promise<string[]> => {
    const again = errands.filter((_, index) => results[index]?.status === 503);
    const answers = await runAll(again);
    const complaints: string[] = [];
    for (const [index, { name, isDone }] of again.entries()) {
      const { status } = answers[index] as Result;
      if (!(await isDone(status))) complaints.push(`${name} was answered ${status} afterwards`);
    }
    return complaints;
  };

  /** What was told to be done and is not. */
  const lost = async (errands: Errand[], results: Result[]): Promise<string[]> => {
    const told = errands.filter(
      ({ operation }, index) => operation in DONE_ALREADY && (results[index]?.status ?? 0) < 300,
    );
    const answers = await runAll(told);
    const missing = told.flatMap(({ operation, name }, index) =>
      answers[index]?.status === DONE_ALREADY[operation] ? [] : [name],
    );
    for (const [index, { name, stands }] of errands.entries()) {
      const { status, answer } = results[index] as Result;
      if (stands && status < 300 && !(await stands(answer))) missing.push(name);
    }
    return missing;
  };

  const outageOf = (name: string): Outage => {
    const outage = fragile.outages.find((candidate) => candidate.name === name);
    if (!outage) throw new Error(`No outage is called ${name}`);
    return outage;
  };

  /** The places at which the database is to fail: in one go those at which calls can be at the same time. */
  const groupsFor = ({ onlyBetweenTransactions }: Outage): Middle[][] => {
    const points = Object.keys(MIDDLES) as Middle[];
    const outside = points.filter((point) => !isInsideTransaction(point));
    const inside = points.filter(isInsideTransaction);
    if (onMysql) return [points];
    return [outside, ...(onlyBetweenTransactions ? [] : inside.map((point) => [point]))];
  };

  const prepareFor = (point: Middle): Promise<Errand> =>
    point === 'reuse:session_revoked' ? prepareReplay(point) : prepare(operationOf(MIDDLES[point]), point);

  /** Makes the calls, has the database fail once each of them is at its place, and brings it back when all are answered. */
  const failInTheMiddle = async (outage: Outage, errands: Errand[]): Promise<Result[]> => {
    const [allThere, goOn] = [gate(), gate()];
    const there = new Set<Failpoint>();
    failpoints.set((point) => {
      if (currentCaller() !== point || there.has(point)) return undefined;
      there.add(point);
      if (there.size === errands.length) allThere.open();
      return goOn.opened;
    });
    const begun = errands.map((errand) => errand.run());
    await allThere.opened;
    const work = () => {
      goOn.open();
      return Promise.all(begun);
    };
    return during(outage, work, { insideTransaction: [...there].some(isInsideTransaction) });
  };

  describe.each(outageNames)('%s', (name) => {
    const { always, whileFresh = [], maybe = [] } = ANSWERED[name] as Answered;

    it('makes every call be answered 503, if it needs it, and never 401', async () => {
      const [early, later] = [await prepareAll(), await prepareAll()];

      const [earlyResults, laterResults] = await during(outageOf(name), async () => {
        const results = await runAll(early);
        // What this instance knows of revocations is too old by now.
        app.clock.push(1);
        return [results, await runAll(later)];
      });

      expect(earlyResults.map(({ status }) => status)).toContain(503);
      expect(complaints(early, earlyResults, { always, maybe: [...maybe, ...whileFresh] })).toEqual([]);
      expect(complaints(later, laterResults, { always, maybe })).toEqual([]);
      const [errands, results] = [
        [...early, ...later],
        [...earlyResults, ...laterResults],
      ];
      expect(await lost(errands, results)).toEqual([]);
      expect(await comeAgain(errands, results)).toEqual([]);
      expect(await halfDone(fragile.database)).toEqual([]);
    }, 60_000);

    it('in the middle of a call makes it be answered 503, and nothing is lost', async () => {
      const outage = outageOf(name);
      for (const points of groupsFor(outage)) {
        const errands: Errand[] = [];
        for (const point of points) errands.push(await prepareFor(point));

        const results = await failInTheMiddle(outage, errands);

        expect(complaints(errands, results, { always, maybe })).toEqual([]);
        expect(await lost(errands, results)).toEqual([]);
        expect(await comeAgain(errands, results)).toEqual([]);
      }
    }, 60_000);

    it('has every call answered in time', () => expect(late.splice(0)).toEqual([]));
  });
});

function operationOf(id: string): DocumentedOperation {
  const found = operations.find((candidate) => candidate.id === id);
  if (!found) throw new Error(`No operation is called ${id}`);
  return found;
}
