/** Stands for every scope but those that an operator alone grants. */
export const ALL_SCOPES = '*';

/** What a key can do if nothing else is asked for: read the profile of its owner. */
export const USERS_READ = 'users:read';

/** Lets a key ask what a token or a key of its own account is good for. */
export const INTROSPECT = 'introspect';

/** Widens `introspect` to the tokens and keys of all accounts. */
export const INTROSPECT_ALL = 'introspect:all';

/** Scopes that `*` does not hold. */
const OPERATOR_GRANTED: readonly string[] = [INTROSPECT_ALL];

/** `resource:action`, free for the team's own APIs, or the one built-in scope without an action. */
export const SCOPE_SHAPE = /^(introspect|[A-Za-z0-9][\w.-]{0,30}:[A-Za-z0-9][\w.-]{0,30})$/;

/** Scopes that an account or a key may be given at most: what the column holds, and a header can carry. */
export const MOST_SCOPES = 32;

/** Whether `held` holds `scope`. */
export function holdsScope(held: readonly string[], scope: string): boolean {
  return held.includes(scope) || (held.includes(ALL_SCOPES) && !OPERATOR_GRANTED.includes(scope));
}

/** Whether whoever holds `newer` can do all that `older` allows. */
export function coversScopes(newer: readonly string[], older: readonly string[]): boolean {
  return older.every((scope) => (scope === ALL_SCOPES ? newer.includes(scope) : holdsScope(newer, scope)));
}

/** What is left of a key's scopes when its owner has lost some. */
export function withinOwner(key: readonly string[], owner: readonly string[]): string[] {
  return key.filter((scope) => holdsScope(owner, scope));
}

/** From the form in which scopes are stored. */
export function parseScopes(stored: string): string[] {
  return stored === '' ? [] : stored.split(' ');
}
