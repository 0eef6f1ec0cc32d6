import type autocannon from 'autocannon';
import type { Server } from './servers';

/** Somebody to act as, made through the API. */
export interface Account {
  username: string;
  password: string;
  token: string;
  refreshTokens: string[];
}

const JSON_BODY = { 'content-type': 'application/json' };

/** Makes accounts through the API of a server, one after the other, and signs each in. */
export async function makeAccounts(server: Server, count: number): Promise<Account[]> {
  const accounts: Account[] = [];
  for (let number = 0; number < count; number += 1) {
    const username = `bench.${process.pid.toString(36)}.${number}`;
    const password = `granite ${number} harbour ${process.pid}`;
    await call(server, '/api/v1/users', { username, email: `${username}@example.com`, password });
    accounts.push({ username, password, token: '', refreshTokens: [] });
  }
  return accounts;
}

/** Signs an account in, and keeps what it is handed. */
export async function signIn(server: Server, account: Account): Promise<void> {
  const { username, password } = account;
  const answer = await call(server, '/api/v1/auth/login', { username, password });
  account.token = answer['token'] ?? '';
  account.refreshTokens.push(answer['refreshToken'] ?? '');
}

/** A new API key of an account, as it is presented. */
export async function makeKey(server: Server, { token }: Account): Promise<string> {
  const answer = await call(server, '/api/v1/auth/keys', {}, { authorization: `Bearer ${token}` });
  return answer['apiKey'] ?? '';
}

/** Logins of one account after the other. */
export function logins(accounts: readonly Account[]): autocannon.Request {
  let turn = 0;
  return {
    method: 'POST',
    path: '/api/v1/auth/login',
    headers: JSON_BODY,
    setupRequest: (request) => {
      const { username = '', password = '' } = accounts[turn++ % accounts.length] ?? {};
      return { ...request, body: JSON.stringify({ username, password }) };
    },
  };
}

/**
 * Refreshes in turns, each with the successor of a token that was answered. What is under way when a run ends is lost: there must
 * be two sessions for each connection of each run.
 */
export function refreshes(tokens: readonly string[]): autocannon.Request {
  const live = [...tokens];
  return {
    method: 'POST',
    path: '/api/v1/auth/refresh',
    headers: JSON_BODY,
    setupRequest: (request) => ({ ...request, body: JSON.stringify({ refreshToken: live.shift() }) }),
    onResponse: (status, body) => {
      if (status === 200) live.push((JSON.parse(body) as { refreshToken: string }).refreshToken);
    },
  };
}

async function call(
  server: Server,
  path: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<Record<string, string>> {
  const response = await fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { ...JSON_BODY, ...headers },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, string>;
}
