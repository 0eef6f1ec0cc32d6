import { holdsScope, parseScopes, withinOwner } from './scopes';

describe('scopes', () => {
  it.each<[string[], string, boolean]>([
    [['a:b'], 'a:b', true],
    [['a:b'], 'a:c', false],
    [['a:b'], 'a', false],
    [['*'], 'a:b', true],
    [['*'], 'introspect', true],
    [['*'], 'introspect:all', false],
    [['*', 'introspect:all'], 'introspect:all', true],
    [[], 'a:b', false],
  ])('%j hold %s: %s', (held, scope, expected) => {
    expect(holdsScope(held, scope)).toBe(expected);
  });

  it('of a key shrink with those of its owner', () => {
    expect(withinOwner(['a:b', 'c:d'], ['c:d'])).toEqual(['c:d']);
    expect(withinOwner(['a:b', 'c:d'], ['*'])).toEqual(['a:b', 'c:d']);
    expect(withinOwner(['a:b'], [])).toEqual([]);
  });

  it('are stored as words', () => {
    expect(parseScopes('a:b c:d')).toEqual(['a:b', 'c:d']);
    expect(parseScopes('')).toEqual([]);
  });
});
