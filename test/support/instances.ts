import { expectDocumented } from './contract';
import type { TestDatabase } from './database';
import { createDatabase } from './database';
import { type Program, settingsFor, startServer } from './server-process';

/** What a process answers. */
export interface InstanceAnswer {
  status: number;
  body: Record<string, string>;
}

/** Two processes of the service on one database. */
export class TwoInstances {
  private count = 0;

  private constructor(
    readonly database: TestDatabase,
    readonly settings: Record<string, string>,
    readonly processes: readonly (Program & { url: string })[],
  ) {}

  /**
   * @param settings of both
   * @param own what each has besides
   */
  static async start(
    settings: Record<string, string> = {},
    own: readonly [Record<string, string>, Record<string, string>] = [{}, {}],
  ): Promise<TwoInstances> {
    const database = await createDatabase();
    const all = settingsFor(database, settings);
    const processes = await Promise.all(own.map((its) => startServer({ ...all, ...its })));
    return new TwoInstances(database, all, processes);
  }

  async stop(): Promise<void> {
    for (const instance of this.processes) instance.signal('SIGTERM');
    await Promise.all(this.processes.map((instance) => instance.exit()));
    await this.database.drop();
  }

  /** Calls `/api/v1` + path of one of the two and holds the answer against the OpenAPI document. */
  async call(
    instance: 0 | 1,
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: object,
  ): Promise<InstanceAnswer> {
    const url = `${this.processes[instance]?.url}/api/v1${path}`;
    const response = await fetch(url, {
      method,
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    expectDocumented(method, url, response, text);
    return { status: response.status, body: (text ? JSON.parse(text) : {}) as Record<string, string> };
  }

  /** What a credential opens at one of the two. */
  async status(instance: 0 | 1, headers: Record<string, string>): Promise<number> {
    return (await this.call(instance, 'GET', '/users/me', headers)).status;
  }

  /** Somebody new, signed up at one and signed in at the other. */
  async newcomer(): Promise<{ username: string; password: string; token: string; refreshToken: string }> {
    this.count += 1;
    const [username, password] = [`person-${this.count}`, 'a password of theirs'];
    await this.call(0, 'POST', '/users', {}, { username, email: `${username}@example.com`, password });
    return { username, password, ...(await this.logIn(1, username, password)) };
  }

  async logIn(instance: 0 | 1, username: string, password: string) {
    const { status, body } = await this.call(instance, 'POST', '/auth/login', {}, { username, password });
    if (status !== 200) throw new Error(`Login failed: ${JSON.stringify(body)}`);
    return { token: body['token'] ?? '', refreshToken: body['refreshToken'] ?? '' };
  }
}

/** The header of an access token. */
export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
