import { type DocumentedOperation, requestExample } from './contract';

/** What somebody has whom no other call is about; the key has the scopes `users:read` and `introspect`. */
export interface Belongings {
  username: string;
  password: string;
  token: string;
  refreshToken: string;
  sessionId: string;
  keyId: string;
  apiKey: string;
}

/** What a call is answered that was answered 2xx before, where that tells whether it has really been done. */
export const DONE_ALREADY: Record<string, number> = {
  signUp: 409,
  logout: 401,
  endSession: 401,
  endSessions: 401,
  deleteAccount: 401,
  changePassword: 403,
  deleteApiKey: 404,
  refresh: 200,
};

/**
 * The call of an operation that somebody makes: its own example, with what can only be one's own put in.
 *
 * @param fresh a name that nobody has
 */
export function callOf(of: DocumentedOperation, own: Belongings, fresh: string) {
  const path = of.path.replace(/\{(\w+)\}/g, (_, name: 'keyId') => own[name] ?? `no-${name}-here`);
  const body = bodyOf(of, own, fresh);
  const headers: Record<string, string> = {
    ...(accepts(of, 'bearer') && { authorization: `Bearer ${own.token}` }),
    ...(accepts(of, 'apiKey') && !accepts(of, 'bearer') && { 'x-api-key': own.apiKey }),
    ...(body && { 'content-type': 'application/json' }),
  };
  return { path, request: { method: of.method, headers, ...(body && { body: JSON.stringify(body) }) } };
}

function bodyOf(of: DocumentedOperation, own: Belongings, fresh: string): object | undefined {
  const example = requestExample(of);
  if (!example) return undefined;
  const { token, refreshToken, apiKey, password } = own;
  const fields: Record<string, unknown> = {
    ...{ token, refreshToken, apiKey, password, currentPassword: password },
    username: of.id === 'login' ? own.username : fresh,
    email: `${fresh}@example.com`,
  };
  return Object.fromEntries(Object.entries(example).map(([name, value]) => [name, fields[name] ?? value]));
}

function accepts({ operation }: DocumentedOperation, scheme: string): boolean {
  return operation.security?.some((candidate) => scheme in candidate) ?? false;
}
