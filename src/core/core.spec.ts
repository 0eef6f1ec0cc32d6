import { canonical, countCodePoints } from './canonical';
import { API_ERRORS, ApiError } from './errors';
import { toErrorResponse } from './error-response';
import { earliestId, idFromBytes, Ids, idToBytes } from './ids';
import { formatInstant, toNumericDate } from './instant';
import { SystemRandom } from './random';

describe('ids', () => {
  const fixed = { now: () => new Date('2026-03-14T09:26:53.589Z'), monotonic: () => 0, isTrusted: true };
  const random = { bytes: (length: number) => Buffer.alloc(length, 1) };

  it('sort in the order in which they were made, within a millisecond too', () => {
    const ids = new Ids(fixed, random);

    const made = Array.from({ length: 1000 }, () => ids.next('key'));

    expect([...made].sort()).toEqual(made);
    expect(new Set(made).size).toBe(1000);
  });

  it('carry their time', () => {
    const bytes = idToBytes('key', new Ids(fixed, random).next('key'));

    expect(Buffer.from(bytes).readUIntBE(0, 6)).toBe(fixed.now().getTime());
  });

  it('of an instant lie between those of the millisecond before and its own', () => {
    const made = new Ids(fixed, random).next('evt');
    const { now } = fixed;

    expect(earliestId('evt', now()) < made).toBe(true);
    expect(earliestId('evt', new Date(now().getTime() + 1)) > made).toBe(true);
  });

  it('are the same as bytes and as text', () => {
    const id = new Ids(fixed, random).next('sess');

    expect(idFromBytes('sess', idToBytes('sess', id))).toBe(id);
    expect(() => idToBytes('key', id)).toThrow();
  });
});

describe('random bytes', () => {
  it('are as many as asked for, and never the same again', () => {
    const random = new SystemRandom();
    const lengths = [1, 16, 22, 32, 4096, 5000];

    expect(lengths.map((length) => random.bytes(length).length)).toEqual(lengths);
    const drawn = Array.from({ length: 10_000 }, () => random.bytes(16).toString('hex'));
    expect(new Set(drawn).size).toBe(10_000);
  });

  it.each([NaN, -32, Infinity])(
    'are refused where their number is %d, and come as ever afterwards',
    (length) => {
      const random = new SystemRandom();

      expect(() => random.bytes(length)).toThrow('out of range');
      expect(random.bytes(16)).not.toEqual(Buffer.alloc(16));
    },
  );

  it('belong to whoever asked: nothing of them stays behind, and nobody else writes into them', () => {
    const random = new SystemRandom();
    const mine = random.bytes(16);
    const before = Buffer.from(mine);
    const { reserve } = random as unknown as { reserve: Buffer };

    random.bytes(16).fill(0);

    expect(reserve.includes(before)).toBe(false);
    expect(reserve.buffer).not.toBe(mine.buffer);
    expect(mine).toEqual(before);
  });
});

describe('instants', () => {
  it('are shown in whole seconds, cut off', () => {
    expect(formatInstant(new Date('2023-10-27T10:00:00.999Z'))).toBe('2023-10-27T10:00:00Z');
    expect(toNumericDate(new Date('1970-01-01T00:00:01.999Z'))).toBe(1);
  });
});

describe('the canonical form', () => {
  it.each([
    ['Jane.Doe', 'jane.doe'],
    ['ＪＡＮＥ', 'jane'],
    ['e\u0301', 'é'],
    ['ﬁ', 'fi'],
  ])('of %s is %s', (typed, expected) => {
    expect(canonical(typed)).toBe(expected);
  });

  it('does not depend on itself: applying it twice changes nothing', () => {
    for (const typed of ['İ', 'ẞ', 'Å', '㎒', 'Ⅷ'])
      expect(canonical(canonical(typed))).toBe(canonical(typed));
  });

  it('counts characters as people do', () => {
    expect(countCodePoints('🔑e\u0301')).toBe(3);
  });
});

describe('the error table', () => {
  it('has a sentence and a reason for each code, and lets no two sentences of one status contradict', () => {
    for (const [code, { status, sentence, when }] of Object.entries(API_ERRORS)) {
      expect(code).toMatch(/^[a-z_]+$/);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(sentence).toMatch(/^[A-Z].*[^.]$/);
      expect(when).toMatch(/\.$/);
    }
  });

  it('keeps the sentences of the contract to the letter', () => {
    const sentences = Object.values(API_ERRORS).map(({ status, sentence }) => `${status} ${sentence}`);

    expect(sentences).toEqual(
      expect.arrayContaining([
        '401 Invalid credentials',
        '401 User not found',
        '401 Invalid or expired refresh token',
        '401 Authentication required',
        '404 API key not found',
        '403 Account disabled',
        '403 Current password is wrong',
      ]),
    );
  });

  it.each([
    ['application/problem+json', true],
    ['application/problem+json, application/json;q=0.9', true],
    ['application/json, application/problem+json', false],
    ['application/problem+json;q=0.1, application/json', false],
    ['*/*', false],
    ['application/*', false],
    ['text/html', false],
    ['application/problem+json;q=0', false],
    ['nonsense', false],
  ])('answers Accept: %s with problem details: %s', (accept, expected) => {
    const { headers } = toErrorResponse(new ApiError('not_found'), {
      requestId: 'req_1',
      accept,
      sentToken: false,
    });

    expect(headers['content-type']).toBe(`application/${expected ? 'problem+' : ''}json; charset=utf-8`);
  });
});
