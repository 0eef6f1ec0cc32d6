import { AccountService } from '../../src/auth/account.service';
import type { TestApp } from './app';

/** A user as a test knows him. */
export interface Person {
  id: string;
  username: string;
  email: string;
  password: string;
}

/** What a login or refresh answers. */
export interface TokensBody {
  token: string;
  expires_in: number;
  refreshToken: string;
  refresh_expires_in: number;
}

export interface LoginBody extends TokensBody {
  deviceToken: string;
  user: { id: string; username: string; email: string };
}

export interface CreatedKeyBody {
  keyId: string;
  apiKey: string;
  name: string;
  createdAt: string;
  scopes: string[];
  enabled: boolean;
  expiresAt: string | null;
  allowedIps: string[] | null;
}

export interface ListedKeyBody extends Omit<CreatedKeyBody, 'apiKey'> {
  lastUsed: string | null;
  reportedAt: string | null;
  oldSecret: { endsAt: string; lastUsed: string | null; inUse: boolean; quietSince: string } | null;
}

let count = 0;

/** Signs up somebody whom no other test knows. */
export async function signUp(app: TestApp, wishes: Partial<Person> = {}): Promise<Person> {
  count += 1;
  const person = {
    username: `person-${count}`,
    email: `person-${count}@example.com`,
    password: `kettle ${count} and brass lantern`,
    ...wishes,
  };
  const { username, email, password } = person;
  const { status, body } = await app.call<{ id: string }>('POST', '/users', {
    body: { username, email, password },
  });
  if (status !== 201) throw new Error(`Sign-up failed: ${JSON.stringify(body)}`);
  return { ...person, id: body.id };
}

/** Signs somebody in. */
export async function logIn(
  app: TestApp,
  { username, password }: Pick<Person, 'username' | 'password'>,
  headers: Record<string, string> = {},
): Promise<LoginBody> {
  const call = { body: { username, password }, headers };
  const { status, body } = await app.call<LoginBody>('POST', '/auth/login', call);
  if (status !== 200) throw new Error(`Login failed: ${JSON.stringify(body)}`);
  return body;
}

/** Somebody new, signed in. */
export async function newcomer(app: TestApp): Promise<Person & LoginBody> {
  const person = await signUp(app);
  return { ...person, ...(await logIn(app, person)) };
}

/** The session that an access token belongs to. */
export function sessionIdOf({ token }: { token: string }): string {
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    sid: string;
  };
  return claims.sid;
}

/** Makes a key for the owner of an access token. */
export async function createKey(app: TestApp, token: string, body: object = {}): Promise<CreatedKeyBody> {
  const answer = await app.call<CreatedKeyBody>('POST', '/auth/keys', { token, body });
  if (answer.status !== 201) throw new Error(`Key creation failed: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** What an access token opens: the status of a request that needs one. */
export async function statusWith(
  app: TestApp,
  credential: { token: string } | { key: string },
): Promise<number> {
  return (await app.call('GET', '/users/me', credential)).status;
}

/** An account's keys, as its owner sees them. */
export async function listKeys(app: TestApp, token: string): Promise<ListedKeyBody[]> {
  return (await app.call<ListedKeyBody[]>('GET', '/auth/keys', { token })).body;
}

/** What the audit trail tells of an account, oldest first. */
export async function eventTypes(app: TestApp, userId: string): Promise<string[]> {
  const sql = 'SELECT type FROM audit_events WHERE user_id = ? ORDER BY id';
  return (await app.rows<{ type: string }>(sql, [userId])).map(({ type }) => type);
}

const OPERATOR = { ip: 'command line', userAgent: null, requestId: 'req_of_an_operator' };

/** What an operator does on the command line. */
export const operator = (app: TestApp) => {
  const account = app.nest.get(AccountService);
  return {
    disable: (userId: string) => account.disable(userId, OPERATOR),
    enable: (userId: string) => account.enable(userId, OPERATOR),
    setScopes: (userId: string, ...scopes: string[]) => account.setScopes(userId, scopes, OPERATOR),
  };
};
