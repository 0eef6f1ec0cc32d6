import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type autocannon from 'autocannon';
import { SESSIONS_PER_ACCOUNT } from '../src/sessions/sessions.service';
import { type Account, logins, makeAccounts, makeKey, refreshes, signIn } from './accounts';
import { fill } from './fill';
import { type Load, measure, type Measurement } from './load';
import type { Comparison, Footprint } from './report';
import { type Cores, runToEnd, Server } from './servers';

const CONNECTIONS = 50;
const LOGIN_CONNECTIONS = 10;
/** More than any machine that this has run on hashes with two cores. */
const LOGINS_PER_SECOND = 250;
/** For five runs: see `refreshes`. */
const SESSIONS = 10 * CONNECTIONS;
/** GETs whose latency is taken while logins storm. */
const PROBES: Pick<Load, 'connections' | 'requestsPerSecond'> = { connections: 5, requestsPerSecond: 50 };

/** That a raw floor may take beside what it measures. */
const LONGEST_SETUP_SECONDS = 60;

/** Secrets of this run only; the floors check the same tokens. */
const SECRETS = {
  AUTH_SECRET: randomBytes(48).toString('base64url'),
  JWT_SECRET: randomBytes(48).toString('base64url'),
};

/** What is run, and how long. */
export interface Run {
  /** Folder of Latchkey's build. */
  build: string;
  databaseUrl: string;
  /** Of one measurement. */
  seconds: number;
  /** Measurements of each side. */
  rounds: number;
  /** Whether the database holds 100,000 users and a million sessions. */
  million: boolean;
  workloads: readonly WorkloadName[];
}

/** Both sides on one database, and whom they serve. */
interface Stage {
  run: Run;
  ours: Server;
  minimal: Server;
  accounts: Account[];
  /** Of the first account. */
  key: string;
}

/** What is measured, in this order. */
const WORKLOADS = {
  verify: async (stage) => [await verification(stage)],
  read: reading,
  refresh: async (stage) => [await refreshing(stage), await writing(stage)],
  login: async (stage) => [...(await signingIn(stage)), await signingInOnAllCores(stage)],
  storm,
} satisfies Record<string, (stage: Stage) => Promise<Comparison[]>>;

export type WorkloadName = keyof typeof WORKLOADS;

export const WORKLOAD_NAMES = Object.keys(WORKLOADS) as WorkloadName[];

/** What the workloads have come to, and what memory either side has in the end, in megabytes. */
export interface Compared {
  comparisons: Comparison[];
  megabytes: { ours: number; minimal: number };
}

/** The workloads on one database. */
export async function compare(run: Run): Promise<Compared> {
  let ours = await startOurs(run);
  let minimal: Server | undefined;
  try {
    minimal = await startFloor(run, 'minimal-server.cjs', '/health/ready');
    const accounts = await makeAccounts(ours, accountsFor(run));
    for (let turn = 0; turn < SESSIONS; turn += 1)
      await signIn(ours, accounts[turn % accounts.length] as Account);
    if (run.million) {
      // A service would have seen each of these rows come.
      await ours.stop();
      await fill(run.databaseUrl, { users: 100_000, sessions: 1_000_000 });
      ours = await startOurs(run);
    }
    const stage: Stage = { run, ours, minimal, accounts, key: await makeKey(ours, accounts[0] as Account) };
    const comparisons: Comparison[] = [];
    for (const name of run.workloads) comparisons.push(...(await WORKLOADS[name](stage)));
    const megabytes = { ours: ours.residentMegabytes(), minimal: minimal.residentMegabytes() };
    return { comparisons, megabytes };
  } finally {
    await minimal?.stop();
    await ours.stop();
  }
}

/**
 * So many that none comes to its hundredth session: the oldest would have to give way, which costs a login more, and takes the token
 * away that the reads show.
 */
function accountsFor({ seconds, rounds }: Run): number {
  // Of a login: by itself and on all cores, with a turn to warm up; in a storm each round on the floor, alone, and beside reads.
  const measurements = 2 * (rounds + 1) + 3 * rounds;
  const sessions = measurements * seconds * LOGINS_PER_SECOND + 2 * SESSIONS;
  return Math.ceil(sessions / (SESSIONS_PER_ACCOUNT - 10));
}

/** `GET /auth/verify` by token, which asks no database, beside a guard on the bare framework. */
async function verification({ run, ours, accounts }: Stage): Promise<Comparison> {
  const request = bearer('/api/v1/auth/verify', accounts);
  const answer = await fetch(`${ours.url}${request.path}`, {
    headers: request.headers as Record<string, string>,
  });
  const headers = Object.fromEntries(answer.headers);
  for (const name of ['content-length', 'date', 'connection', 'keep-alive']) delete headers[name];
  const floor = await startFloor(run, 'guarded-nest.cjs', '/', { ANSWER_HEADERS: JSON.stringify(headers) });
  try {
    return {
      workload: 'GET /auth/verify by token',
      floor: 'Nest and Fastify with a guard',
      ...(await inTurns(run, [ours, request], [floor, request])),
      by: 'cpu',
      target: 0.75,
    };
  } finally {
    await floor.stop();
  }
}

/** `GET /users/me`, by token and by key beside the minimal server, and by key beside by token. */
async function reading({ run, ours, minimal, accounts, key }: Stage): Promise<Comparison[]> {
  const byToken = bearer('/api/v1/users/me', accounts);
  const byKey: autocannon.Request = {
    method: 'GET',
    path: '/api/v1/users/me',
    headers: { 'x-api-key': key },
  };
  const name = 'GET /users/me';
  return [
    {
      workload: `${name} by token`,
      floor: 'minimal server',
      ...(await inTurns(run, [ours, byToken], [minimal, byToken])),
      by: 'cpu',
      target: run.databaseUrl.startsWith('sqlite:') ? 0.6 : 0.7,
    },
    {
      workload: `${name} by API key`,
      floor: 'minimal server',
      ...(await inTurns(run, [ours, byKey], [minimal, byKey])),
      by: 'cpu',
    },
    {
      workload: `${name} by API key`,
      floor: 'Latchkey by token',
      ...(await inTurns(run, [ours, byKey], [ours, byToken])),
      by: 'cpu',
      target: 0.95,
    },
  ];
}

async function refreshing({ run, ours, minimal, accounts }: Stage): Promise<Comparison> {
  const theirs: string[] = [];
  for (let turn = 0; turn < SESSIONS; turn += 1) {
    const holder: Account = { ...(accounts[turn % accounts.length] as Account), refreshTokens: theirs };
    await signIn(minimal, holder);
  }
  return {
    workload: 'POST /auth/refresh',
    floor: 'minimal server',
    ...(await inTurns(
      run,
      [ours, refreshes(accounts.flatMap(({ refreshTokens }) => refreshTokens))],
      [minimal, refreshes(theirs)],
    )),
    by: 'cpu',
    target: 0.6,
  };
}

/** How far a refresh is from the one statement that it cannot do without. */
async function writing({ run, ours, accounts }: Stage): Promise<Comparison> {
  for (const account of [...accounts, ...accounts, ...accounts]) await signIn(ours, account);
  const request = refreshes(accounts.flatMap(({ refreshTokens }) => refreshTokens.slice(-3)));
  const beside = await besideRaw(run, ours, { script: 'raw-update.cjs', connections: 10, request });
  return { workload: 'POST /auth/refresh', floor: 'raw guarded UPDATE', ...beside, by: 'cpu' };
}

/** Logins beside the hash alone, which is nearly all of their work. */
async function signingIn({ run, ours, accounts }: Stage): Promise<Comparison[]> {
  const request = logins(accounts);
  const beside = await besideRaw(run, ours, {
    script: 'raw-hash.cjs',
    connections: LOGIN_CONNECTIONS,
    request,
  });
  const login = { workload: 'POST /auth/login', floor: 'raw Argon2id', ...beside };
  return [
    { ...login, by: 'rate', target: 0.95 },
    { ...login, by: 'beside', target: 2 },
  ];
}

/** The same where the hash has a core of its own, as a server with two has it. */
async function signingInOnAllCores({ run, accounts }: Stage): Promise<Comparison> {
  const ours = await startOurs(run, 'all');
  try {
    const request = logins(accounts);
    const beside = await besideRaw(run, ours, {
      script: 'raw-hash.cjs',
      connections: LOGIN_CONNECTIONS,
      request,
      cores: 'all',
    });
    const workload = 'POST /auth/login, all cores';
    return { workload, floor: 'raw Argon2id', ...beside, by: 'rate', target: 0.95 };
  } finally {
    await ours.stop();
  }
}

/** GETs while logins storm, and what the logins lose by them. */
async function storm({ run, ours, minimal, accounts }: Stage): Promise<Comparison[]> {
  const probe = bearer('/api/v1/users/me', accounts);
  const gets: Record<'ours' | 'floors', Measurement[]> = { ours: [], floors: [] };
  const stormed: Measurement[] = [];
  const alone: Measurement[] = [];
  for (let round = 0; round < run.rounds; round += 1) {
    for (const [side, server] of [
      ['floors', minimal],
      ['ours', ours],
    ] as const) {
      const load = { connections: LOGIN_CONNECTIONS, seconds: run.seconds, request: logins(accounts) };
      if (side === 'ours') alone.push(await measure(server, load));
      const [get, login] = await Promise.all([
        measure(server, { ...PROBES, seconds: run.seconds, request: probe }),
        measure(server, load),
      ]);
      gets[side].push(get);
      if (side === 'ours') stormed.push(login);
    }
  }
  return [
    {
      workload: 'GET /users/me in a login storm',
      floor: 'minimal server, one hash at a time',
      ...gets,
      by: 'p99',
      target: 1.5,
    },
    {
      workload: 'POST /auth/login beside 50 GETs/s',
      floor: 'Latchkey, logins alone',
      ours: stormed,
      floors: alone,
      by: 'rate',
      target: 0.85,
    },
  ];
}

/** Start, and memory then, beside those of the least Nest application. The first round makes the database and does not count. */
export async function starting(run: Run): Promise<Footprint> {
  const sides = { ours: [] as Footprint['ours'], floors: [] as Footprint['floors'] };
  for (let round = 0; round <= run.rounds; round += 1) {
    for (const side of ['floors', 'ours'] as const) {
      const server = side === 'ours' ? await startOurs(run) : await startFloor(run, 'bare-nest.cjs', '/');
      const { startMilliseconds: milliseconds } = server;
      if (round > 0) sides[side].push({ milliseconds, megabytes: server.residentMegabytes() });
      await server.stop();
    }
  }
  return sides;
}

/** Loads both sides in turns. The first turn of each warms it up and does not count. */
async function inTurns(
  { seconds, rounds }: Run,
  ours: [Server, autocannon.Request],
  floor: [Server, autocannon.Request],
): Promise<Pick<Comparison, 'ours' | 'floors'>> {
  const results: Pick<Comparison, 'ours' | 'floors'> = { ours: [], floors: [] };
  for (let round = 0; round <= rounds; round += 1) {
    for (const [side, [server, request]] of [
      ['floors', floor],
      ['ours', ours],
    ] as const) {
      const result = await measure(server, { connections: CONNECTIONS, seconds, request });
      if (round > 0) results[side].push(result);
    }
  }
  return results;
}

/** The same beside a program that does the one costly thing and prints how often it could. */
async function besideRaw(
  { build, databaseUrl, seconds, rounds }: Run,
  server: Server,
  {
    script,
    connections,
    request,
    cores,
  }: { script: string; connections: number; request: autocannon.Request; cores?: Cores },
): Promise<Pick<Comparison, 'ours' | 'floors'>> {
  const environment = {
    BUILD: build,
    DATABASE_URL: databaseUrl,
    SECONDS: String(seconds),
    CALLERS: String(connections),
  };
  const results: Pick<Comparison, 'ours' | 'floors'> = { ours: [], floors: [] };
  for (let round = 0; round <= rounds; round += 1) {
    const patience = (seconds + LONGEST_SETUP_SECONDS) * 1000;
    const raw = JSON.parse(await runToEnd(floorScript(script), environment, patience, cores)) as Measurement;
    const result = await measure(server, { connections, seconds, request });
    if (round === 0) continue;
    results.floors.push(raw);
    results.ours.push(result);
  }
  return results;
}

function startOurs({ build, databaseUrl }: Run, cores?: Cores): Promise<Server> {
  return Server.start({
    script: join(build, 'main.js'),
    environment: { ...SECRETS, DATABASE_URL: databaseUrl, RATE_LIMITS: 'off', NODE_ENV: 'production' },
    readyPath: '/health/ready',
    ...(cores && { cores }),
  });
}

function startFloor(
  { build, databaseUrl }: Run,
  script: string,
  readyPath: string,
  environment: Record<string, string> = {},
): Promise<Server> {
  return Server.start({
    script: floorScript(script),
    environment: {
      ...SECRETS,
      BUILD: build,
      DATABASE_URL: databaseUrl,
      NODE_ENV: 'production',
      ...environment,
    },
    readyPath,
  });
}

const floorScript = (name: string) => join(__dirname, 'floors', name);

function bearer(path: string, accounts: readonly Account[]): autocannon.Request {
  return { method: 'GET', path, headers: { authorization: `Bearer ${accounts[0]?.token}` } };
}
