import { AddressRanges } from '../access/address-ranges';
import { Clock } from '../core/clock';
import { FOUND_KEY_LIFETIME_SECONDS, FoundKeys } from './found-keys';
import type { FoundKey } from './key-facts';

class HandClock extends Clock {
  milliseconds = 1;
  now(): Date {
    return new Date(this.milliseconds);
  }
  monotonic(): number {
    return this.milliseconds;
  }
}

const key = (keyId: string, hash: string, more: Partial<FoundKey> = {}) =>
  ({ keyId, hash, scopes: ['users:read'], ownerScopes: ['*'], ...more }) as FoundKey;

describe('what was found out about keys', () => {
  let clock: HandClock;
  let found: FoundKeys;
  beforeEach(() => {
    clock = new HandClock();
    found = new FoundKeys(clock);
  });

  const keep = (finding: FoundKey | 'unknown', hash: string) => found.keep(hash, finding, found.version);

  it.each([
    [0, [key('k', 'good'), 'unknown']],
    [1, [undefined, undefined]],
  ])('is believed for a minute, good or bad: %i ms after it', (late, expected) => {
    keep(key('k', 'good'), 'good');
    keep('unknown', 'bad');

    clock.milliseconds += FOUND_KEY_LIFETIME_SECONDS * 1000 + late;

    expect([found.get('good'), found.get('bad')]).toEqual(expected);
  });

  it('is forgotten of both secrets of a key when it changes, and of no other key', () => {
    for (const [id, hash] of [
      ['a', 'a1'],
      ['a', 'a2'],
      ['b', 'b1'],
    ] as const)
      keep(key(id, hash), hash);

    found.forget('a');

    expect(['a1', 'a2', 'b1'].map((hash) => found.get(hash) !== undefined)).toEqual([false, false, true]);
  });

  it('forgets everything that was not there when any key changes: it may be there now', () => {
    keep('unknown', 'new');

    found.forget('any');

    expect(found.get('new')).toBeUndefined();
  });

  it('is all forgotten where it is not known what has changed, and not kept if it was looked up before', () => {
    const before = found.version;
    keep(key('k', 'good'), 'good');
    keep('unknown', 'bad');

    found.forgetAll();
    found.keep('late', key('l', 'late'), before);

    expect(['good', 'bad', 'late'].map((hash) => found.get(hash))).toEqual([undefined, undefined, undefined]);
  });

  it('is not kept if a key was changed while it was looked up', () => {
    const { version } = found;
    found.forget('any');

    found.keep('good', key('k', 'good'), version);
    found.keep('bad', 'unknown', version);

    expect([found.get('good'), found.get('bad')]).toEqual([undefined, undefined]);
  });

  it('is bounded, and no number of made-up keys drives out a good one', () => {
    keep(key('k', 'good'), 'good');
    for (let count = 0; count < 25_000; count += 1) keep('unknown', `made-up-${count}`);
    expect(found.get('good')).toBeDefined();
    expect([found.get('made-up-0'), found.get('made-up-24999')]).toEqual([undefined, 'unknown']);

    for (let count = 0; count < 25_000; count += 1) keep(key(`k${count}`, `${count}`), `${count}`);

    expect([found.get('good'), found.get('0'), found.get('24999')]).toEqual([
      undefined,
      undefined,
      key('k24999', '24999'),
    ]);
  });

  it('has room for ten thousand ordinary keys, and for fewer that have many ranges and scopes', () => {
    const allowedFrom = new AddressRanges(Array.from({ length: 50 }, (_, index) => `192.0.2.${index}`));
    const scopes = Array.from({ length: 32 }, (_, index) => `report-${index}:read`);
    const kept = (more: Partial<FoundKey>) => {
      for (let count = 0; count < 10_000; count += 1) keep(key(`k${count}`, `${count}`, more), `${count}`);
      return Array.from({ length: 10_000 }, (_, count) => found.get(`${count}`)).filter(Boolean).length;
    };

    expect([kept({}), kept({ allowedFrom, scopes })]).toEqual([10_000, 909]);
  });
});
