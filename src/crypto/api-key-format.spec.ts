import { SystemRandom } from '../core/random';
import { ApiKeyFormat } from './api-key-format';

describe('an API key', () => {
  const random = new SystemRandom();
  const live = new ApiKeyFormat('live');
  const test = new ApiKeyFormat('test');

  it('has the prefix, 32 random characters and a checksum of six', () => {
    expect(live.generate(random)).toMatch(/^sk_live_[0-9A-Za-z]{32}[0-9A-Za-z]{6}$/);
    expect(test.generate(random)).toMatch(/^sk_test_[0-9A-Za-z]{38}$/);
  });

  it('is well formed in its own environment only', () => {
    const key = live.generate(random);

    expect(live.isWellFormed(key)).toBe(true);
    expect(test.isWellFormed(key)).toBe(false);
    expect(test.isWellFormed(key.replace('live', 'test'))).toBe(false);
  });

  it('is refused with any one character changed', () => {
    const key = live.generate(random);
    for (let position = 0; position < key.length; position += 1) {
      const changed = key[position] === 'x' ? 'y' : 'x';
      expect(live.isWellFormed(key.slice(0, position) + changed + key.slice(position + 1))).toBe(false);
    }
  });

  it('is refused with two neighbours swapped', () => {
    const key = live.generate(random);
    for (let position = 8; position < key.length - 1; position += 1) {
      const [a, b] = [key.charAt(position), key.charAt(position + 1)];
      const swapped = key.slice(0, position) + b + a + key.slice(position + 2);
      expect(live.isWellFormed(swapped)).toBe(a === b);
    }
  });

  it.each(['', 'sk_live_', 'sk_live_é', `sk_live_${'0'.repeat(37)}`, `sk_live_${'0'.repeat(39)}`])(
    'is not %p',
    (text) => {
      expect(live.isWellFormed(text)).toBe(false);
    },
  );

  it('is never made twice', () => {
    const keys = new Set(Array.from({ length: 10_000 }, () => live.generate(random)));

    expect(keys.size).toBe(10_000);
  });

  it('uses every character of its alphabet about as often as every other', () => {
    const counts = new Map<string, number>();
    for (let round = 0; round < 2000; round += 1) {
      for (const character of live.generate(random).slice(8, 40)) {
        counts.set(character, (counts.get(character) ?? 0) + 1);
      }
    }
    const expected = (2000 * 32) / 62;

    // Chi-square, 61 degrees of freedom: above 130 once in a million fair runs.
    const chiSquare = [...counts.values()].reduce(
      (sum, count) => sum + (count - expected) ** 2 / expected,
      0,
    );
    expect(counts.size).toBe(62);
    expect(chiSquare).toBeLessThan(130);
  });
});
