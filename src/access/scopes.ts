/** Stands for every scope but those that an operator alone grants. */
export const ALL_SCOPES = '*';

/** What a key can do if nothing else is asked for: read the profile of its owner. */
export const USERS_READ = 'users:read';

/** Scopes that `*` does not hold. */
const OPERATOR_GRANTED: readonly string[] = ['introspect:all'];

/** Whether `held` holds `scope`. */
export function holdsScope(held: readonly string[], scope: string): boolean {
  return held.includes(scope) || (held.includes(ALL_SCOPES) && !OPERATOR_GRANTED.includes(scope));
}

/** What is left of a key's scopes when its owner has lost some. */
export function withinOwner(key: readonly string[], owner: readonly string[]): string[] {
  return key.filter((scope) => holdsScope(owner, scope));
}

/** From the form in which scopes are stored. */
export function parseScopes(stored: string): string[] {
  return stored === '' ? [] : stored.split(' ');
}
