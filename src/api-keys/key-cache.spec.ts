import { AddressRanges } from '../access/address-ranges';
import { Clock } from '../core/clock';
import { CACHED_KEY_LIFETIME_SECONDS, KeyCache } from './key-cache';
import type { PresentedKey } from './key-facts';

class HandClock extends Clock {
  milliseconds = 1;
  now(): Date {
    return new Date(this.milliseconds);
  }
  monotonic(): number {
    return this.milliseconds;
  }
}

const key = (keyId: string, hash: string, more: Partial<PresentedKey> = {}) =>
  ({ keyId, hash, scopes: ['users:read'], ownerScopes: ['*'], ...more }) as PresentedKey;

describe('what was found out about keys', () => {
  let clock: HandClock;
  let cache: KeyCache;
  beforeEach(() => {
    clock = new HandClock();
    cache = new KeyCache(clock);
  });

  const keep = (lookup: PresentedKey | 'unknown', hash: string) => cache.keep(hash, lookup, cache.version);

  it.each([
    [0, [key('k', 'good'), 'unknown']],
    [1, [undefined, undefined]],
  ])('is believed for a minute, good or bad: %i ms after it', (late, expected) => {
    keep(key('k', 'good'), 'good');
    keep('unknown', 'bad');

    clock.milliseconds += CACHED_KEY_LIFETIME_SECONDS * 1000 + late;

    expect([cache.get('good'), cache.get('bad')]).toEqual(expected);
  });

  it('is forgotten of both secrets of a key when it changes, and of no other key', () => {
    for (const [id, hash] of [
      ['a', 'a1'],
      ['a', 'a2'],
      ['b', 'b1'],
    ] as const)
      keep(key(id, hash), hash);

    cache.forget('a');

    expect(['a1', 'a2', 'b1'].map((hash) => cache.get(hash) !== undefined)).toEqual([false, false, true]);
  });

  it('forgets everything that was not there when any key changes: it may be there now', () => {
    keep('unknown', 'new');

    cache.forget('any');

    expect(cache.get('new')).toBeUndefined();
  });

  it('is all forgotten where it is not known what has changed, and not kept if it was looked up before', () => {
    const before = cache.version;
    keep(key('k', 'good'), 'good');
    keep('unknown', 'bad');

    cache.forgetAll();
    cache.keep('late', key('l', 'late'), before);

    expect(['good', 'bad', 'late'].map((hash) => cache.get(hash))).toEqual([undefined, undefined, undefined]);
  });

  it('is not kept if a key was changed while it was looked up', () => {
    const { version } = cache;
    cache.forget('any');

    cache.keep('good', key('k', 'good'), version);
    cache.keep('bad', 'unknown', version);

    expect([cache.get('good'), cache.get('bad')]).toEqual([undefined, undefined]);
  });

  it('is bounded, and no number of made-up keys drives out a good one', () => {
    keep(key('k', 'good'), 'good');
    for (let count = 0; count < 25_000; count += 1) keep('unknown', `made-up-${count}`);
    expect(cache.get('good')).toBeDefined();
    expect([cache.get('made-up-0'), cache.get('made-up-24999')]).toEqual([undefined, 'unknown']);

    for (let count = 0; count < 25_000; count += 1) keep(key(`k${count}`, `${count}`), `${count}`);

    expect([cache.get('good'), cache.get('0'), cache.get('24999')]).toEqual([
      undefined,
      undefined,
      key('k24999', '24999'),
    ]);
  });

  it('has room for ten thousand ordinary keys, and for fewer that have many ranges and scopes', () => {
    const allowedFrom = new AddressRanges(Array.from({ length: 50 }, (_, index) => `192.0.2.${index}`));
    const scopes = Array.from({ length: 32 }, (_, index) => `report-${index}:read`);
    const kept = (more: Partial<PresentedKey>) => {
      for (let count = 0; count < 10_000; count += 1) keep(key(`k${count}`, `${count}`, more), `${count}`);
      return Array.from({ length: 10_000 }, (_, count) => cache.get(`${count}`)).filter(Boolean).length;
    };

    expect([kept({}), kept({ allowedFrom, scopes })]).toEqual([10_000, 909]);
  });
});
