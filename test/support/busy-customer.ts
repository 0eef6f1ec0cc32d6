import { setTimeout as delay } from 'node:timers/promises';
import { bearer } from './instances';
import type { TestDatabase } from './database';
import { fromFreshAddress } from './fresh-address';

const PASSWORD = 'nine kettles and a lantern';

/** Milliseconds that a customer waits after he was told to come again, or heard nothing. */
const BREATH_MS = 20;

/** How a request ended, as its client sees it; 0 for one that has no answer. */
export interface Outcome {
  what: string;
  status: number;
  milliseconds: number;
  body: Record<string, string>;
}

/** An account and what has been acknowledged of it. */
interface Account {
  username: string;
  keys: string[];
  /** Access tokens of sessions that were signed out. */
  ended: string[];
  /** The session that goes on: what was last given out, and the key of a refresh that has no answer yet. */
  session?: { token: string; refreshToken: string; retryKey: string | undefined };
}

/**
 * Somebody who makes an account, signs in, refreshes, makes keys and calls with them, signs out, and begins again with the next,
 * without pause, and remembers what he was told. He repeats what was not answered, a refresh with its `Idempotency-Key`, as clients are
 * told to.
 */
export class BusyCustomer {
  /** Every answer, and every request that has none. */
  readonly outcomes: Outcome[] = [];
  private readonly accounts: Account[] = [];
  private count = 0;

  /**
   * @param name nobody else's
   * @param origin where the service is at the moment
   * @param onAcknowledged called whenever something has been
   */
  constructor(
    private readonly name: string,
    private readonly origin: () => string,
    private readonly onAcknowledged: () => void = () => undefined,
  ) {}

  /** How much has been acknowledged. */
  get acknowledged(): number {
    return this.outcomes.filter(({ status }) => status > 0 && status < 300).length;
  }

  /** Answers that nobody should get who does what is right. */
  get falseRefusals(): Outcome[] {
    return this.outcomes.filter(({ status }) => status >= 400 && status < 500);
  }

  /** Of the accounts whose making was acknowledged. */
  get usernames(): string[] {
    return this.accounts.map(({ username }) => username);
  }

  /** Goes on until it is over. */
  async live(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const account = await this.signUp(isOver);
      if (!account) return;
      this.accounts.push(account);
      const steps = [
        () => this.logIn(account),
        () => this.refresh(account),
        () => this.createKey(account),
        () => this.lookByKey(),
        () => this.logOutOther(account),
        () => this.refresh(account),
        () => this.look(account),
        () => this.lookByKey(),
      ];
      for (const step of steps) await this.insist(isOver, step);
    }
  }

  /** What was acknowledged and is not so, once the service is back; and begins anew with nothing to remember. */
  async losses(database: TestDatabase): Promise<string[]> {
    const lost: string[] = [];
    const expecting = async (wanted: number, what: string, path: string, headers: Record<string, string>) => {
      const { status } = await this.ask(what, 'GET', path, headers);
      if (status !== wanted) lost.push(`${what}: ${status}`);
    };
    const found = await database.rows<{ username: string }>('SELECT username FROM users');
    const existing = new Set(found.map(({ username }) => username));
    for (const account of this.accounts.splice(0)) {
      const { username, session } = account;
      if (!existing.has(username)) lost.push(`account ${username}`);
      for (const key of account.keys) {
        await expecting(200, `key of ${username}`, '/auth/verify', { 'x-api-key': key });
      }
      for (const token of account.ended) {
        await expecting(401, `signed-out session of ${username}`, '/auth/verify', bearer(token));
      }
      if (!session) continue;
      await expecting(200, `session of ${username}`, '/auth/verify', bearer(session.token));
      if (!(await this.refresh(account))) lost.push(`refresh of ${username}`);
    }
    this.outcomes.splice(0);
    return lost;
  }

  private async signUp(isOver: () => boolean): Promise<Account | undefined> {
    for (;;) {
      const username = `${this.name}-${(this.count += 1)}`;
      const body = { username, email: `${username}@example.com`, password: PASSWORD };
      const { status } = await this.ask('sign-up', 'POST', '/users', {}, body);
      if (status === 201) return { username, keys: [], ended: [] };
      if (isOver()) return undefined;
      await this.waitForBetter();
    }
  }

  private async insist(isOver: () => boolean, step: () => Promise<boolean>): Promise<void> {
    while (!isOver() && !(await step())) await this.waitForBetter();
  }

  /** While something does not work, a key may be refused for want of it, but not be called a wrong one. */
  private async waitForBetter(): Promise<void> {
    await this.lookByKey();
    await delay(BREATH_MS);
  }

  private async logIn(account: Account): Promise<boolean> {
    const session = await this.open(account);
    if (session) account.session = { ...session, retryKey: undefined };
    return session !== undefined;
  }

  private async open({ username }: Account): Promise<{ token: string; refreshToken: string } | undefined> {
    const credentials = { username, password: PASSWORD };
    const { status, body } = await this.ask('login', 'POST', '/auth/login', {}, credentials);
    const { token = '', refreshToken = '' } = body;
    return status === 200 ? { token, refreshToken } : undefined;
  }

  private async refresh({ session }: Account): Promise<boolean> {
    if (!session) return true;
    session.retryKey ??= `the-refresh-${(this.count += 1)}-of-${this.name}`;
    const { refreshToken, retryKey } = session;
    const headers = { 'Idempotency-Key': retryKey };
    const { status, body } = await this.ask('refresh', 'POST', '/auth/refresh', headers, { refreshToken });
    if (status !== 200) return false;
    Object.assign(session, { token: body['token'], refreshToken: body['refreshToken'], retryKey: undefined });
    return true;
  }

  private async createKey({ session, keys }: Account): Promise<boolean> {
    if (!session) return true;
    const { status, body } = await this.ask('key', 'POST', '/auth/keys', bearer(session.token), {});
    if (status === 201) keys.push(body['apiKey'] ?? '');
    return status === 201;
  }

  /** Signs in once more, and out again. A logout without an answer may have been done, and is nothing to rely on. */
  private async logOutOther(account: Account): Promise<boolean> {
    const other = await this.open(account);
    if (!other) return false;
    const { status } = await this.ask('logout', 'POST', '/auth/logout', bearer(other.token));
    if (status < 300 && status > 0) account.ended.push(other.token);
    return true;
  }

  private async look({ session }: Account): Promise<boolean> {
    if (!session) return true;
    const { status } = await this.ask('verification', 'GET', '/auth/verify', bearer(session.token));
    return status === 200;
  }

  /** With the newest key that he was told of. */
  private async lookByKey(): Promise<boolean> {
    const newest = this.accounts.flatMap(({ keys }) => keys).at(-1);
    if (newest === undefined) return true;
    const { status } = await this.ask('profile by key', 'GET', '/users/me', { 'x-api-key': newest });
    return status === 200;
  }

  private async ask(
    what: string,
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: object,
  ): Promise<Outcome> {
    const begun = performance.now();
    const { status, text } = await this.send(method, path, headers, body);
    const milliseconds = Math.round(performance.now() - begun);
    const outcome = {
      what,
      status,
      milliseconds,
      body: (text ? JSON.parse(text) : {}) as Record<string, string>,
    };
    this.outcomes.push(outcome);
    if (status > 0 && status < 300) this.onAcknowledged();
    return outcome;
  }

  private async send(method: string, path: string, headers: Record<string, string>, body?: object) {
    try {
      const response = await fetch(`${this.origin()}/api/v1${path}`, {
        method,
        headers: { ...headers, ...fromFreshAddress(), ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
      });
      return { status: response.status, text: await response.text() };
    } catch {
      return { status: 0, text: '' };
    }
  }
}
