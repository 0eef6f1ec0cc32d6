import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { EntityManager } from 'typeorm';
import { createApp, type Replacements } from '../../src/app';
import type { Config } from '../../src/config/config';
import { loadConfig } from '../../src/config/load-config';
import { createLog } from '../../src/core/log';
import type { HashCost } from '../../src/crypto/password-hasher';
import { Transactions } from '../../src/database/transactions';
import { expectDocumented } from './contract';
import { createDatabase, onMysql, type TestDatabase } from './database';
import { issued } from './secret-watch';
import { TestClock } from './test-clock';

/** As cheap as Argon2id gets: what is tested is who may do what, not how long a hash takes. */
export const CHEAP_HASH: HashCost = { memoryKib: 8, passes: 1, lanes: 1 };

/** Of this run only: what stands in a repository is no secret. */
export const MASTER_SECRET = newSecret();

export function newSecret(): string {
  return randomBytes(48).toString('base64url');
}

/** An answer as a client sees it. */
export interface Answer<Body = Record<string, unknown>> {
  status: number;
  headers: Headers;
  body: Body;
}

export interface Call {
  body?: unknown;
  /** Sent as a Bearer token. */
  token?: string;
  /** Sent as an API key. */
  key?: string;
  headers?: Record<string, string>;
}

/** A running application with a database of its own, and what tests need of it. */
export interface TestApp {
  url: string;
  config: Config;
  database: TestDatabase;
  clock: TestClock;
  nest: NestFastifyApplication;
  /** Every line that was logged, parsed. */
  logged: Record<string, unknown>[];
  /** Waits until that has been logged. */
  logs(message: string): Promise<void>;
  /** The same as it was written. */
  written: string[];
  /** Calls `/api/v1` + path and holds the answer against the OpenAPI document. */
  call<Body = Record<string, unknown>>(method: string, path: string, call?: Call): Promise<Answer<Body>>;
  /** Calls any path, and holds what is documented of it against the OpenAPI document. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** Looks into the database, through the same door as the application. */
  rows<Row = Record<string, unknown>>(sql: string, values?: unknown[]): Promise<Row[]>;
  inDatabase<T>(work: (tx: EntityManager) => Promise<T>): Promise<T>;
  /** Stops and starts again, on the same database. */
  restart(settings?: Record<string, string>): Promise<void>;
  /** Stops, drops the database, and fails if anything that grants access was logged or stored. */
  close(): Promise<void>;
}

/** What a test brings along instead of what `startApp` would take. */
export interface Given extends Pick<Replacements, 'clock' | 'failpoints' | 'hashCost'> {
  /** Dropped with the application. */
  database?: TestDatabase;
}

/**
 * Starts the application as `main` does, on a free port, with a settable clock and cheap hashes.
 *
 * @param settings as environment variables
 */
export async function startApp(settings: Record<string, string> = {}, given: Given = {}): Promise<TestApp> {
  const { database = await createDatabase(), ...replacements } = given;
  const app = new RunningApp(database, settings, replacements);
  await app.start();
  return app;
}

class RunningApp implements TestApp {
  readonly clock = new TestClock();
  readonly logged: Record<string, unknown>[] = [];
  readonly written: string[] = [];
  private readonly writing = new EventEmitter();
  url: string;
  config: Config;
  nest: NestFastifyApplication;

  constructor(
    readonly database: TestDatabase,
    private readonly settings: Record<string, string>,
    private readonly replacements: Replacements,
  ) {}

  async start(settings: Record<string, string> = {}): Promise<void> {
    this.config = loadConfig({
      DATABASE_URL: this.database.url,
      ...(onMysql && { AUTH_SECRET: MASTER_SECRET }),
      LOG_LEVEL: 'debug',
      ...this.settings,
      ...settings,
    });
    const log = createLog(this.config.logLevel, {
      write: (line: string) => {
        this.written.push(line);
        this.logged.push(JSON.parse(line) as Record<string, unknown>);
        this.writing.emit('line');
      },
    });
    this.nest = await createApp(this.config, log, {
      ...{ clock: this.clock, hashCost: CHEAP_HASH },
      ...this.replacements,
    });
    await this.nest.listen(0, '127.0.0.1');
    this.url = await this.nest.getUrl();
  }

  async logs(message: string): Promise<void> {
    while (!this.logged.some(({ msg }) => msg === message)) await once(this.writing, 'line');
  }

  async call<Body>(method: string, path: string, call: Call = {}): Promise<Answer<Body>> {
    const url = `${this.url}/api/v1${path}`;
    const response = await fetch(url, {
      method,
      headers: {
        ...(call.body !== undefined && { 'content-type': 'application/json' }),
        ...(call.token !== undefined && { authorization: `Bearer ${call.token}` }),
        ...(call.key !== undefined && { 'x-api-key': call.key }),
        ...call.headers,
      },
      ...(call.body !== undefined && {
        body: typeof call.body === 'string' ? call.body : JSON.stringify(call.body),
      }),
    });
    const text = await response.text();
    const answer: Answer<Body> = {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? undefined : JSON.parse(text)) as Body,
    };
    expectDocumented(method, url, response, text);
    return answer;
  }

  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const url = `${this.url}${path}`;
    const response = await fetch(url, init);
    expectDocumented(init.method ?? 'GET', url, response, await response.clone().text());
    return response;
  }

  rows<Row>(sql: string, values: unknown[] = []): Promise<Row[]> {
    return this.inDatabase((tx) => tx.query<Row[]>(sql, values));
  }

  inDatabase<T>(work: (tx: EntityManager) => Promise<T>): Promise<T> {
    return this.nest.get(Transactions).run(work);
  }

  async restart(settings: Record<string, string> = {}): Promise<void> {
    await this.nest.close();
    await this.start(settings);
  }

  /** Whatever the test was about: nothing that grants access may have been logged or stored. */
  async close(): Promise<void> {
    await this.nest.close();
    await this.database.drop();
    issued.refuseLeaks('the log', this.written.join(''));
  }
}
