import fc from 'fast-check';
import { gate } from '../../test/support/gate';
import { PROPERTY_SEED } from '../../test/support/thoroughness';
import { LaneFull, LaneQueue } from './lane-queue';

type Lane = 'known' | 'unknown';

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Work that ends when it is told to, in the order in which it was begun. */
function bench(limits: Record<Lane, number>, slots = 1) {
  const queue = new LaneQueue(limits, slots);
  const begun: string[] = [];
  const refused: string[] = [];
  const ends: (() => void)[] = [];
  /** Of a subject and a network of its own, where none is named; what is refused is noted. */
  const add = (lane: Lane, name: string, subject = name, network = subject): Promise<void> =>
    queue
      .run({ lane, network, subject }, () => {
        begun.push(name);
        const end = gate();
        ends.push(() => end.open());
        return end.opened;
      })
      .catch((error: unknown) => {
        if (!(error instanceof LaneFull)) throw error;
        refused.push(name);
      });
  /** Ends the oldest work and lets the next begin. */
  const endOne = async (): Promise<void> => {
    ends.shift()?.();
    await settled();
  };
  const endAll = async (): Promise<void> => {
    await settled();
    while (ends.length > 0) await endOne();
  };
  return { queue, begun, refused, add, endOne, endAll };
}

describe('the queue of the hashing threads', () => {
  it('begins no more at once than there are slots', async () => {
    const { begun, add, endOne } = bench({ known: 9, unknown: 9 }, 2);

    void ['a', 'b', 'c'].map((name) => add('unknown', name));
    await settled();

    expect(begun).toEqual(['a', 'b']);
    await endOne();
    expect(begun).toEqual(['a', 'b', 'c']);
  });

  it('lets the lanes take turns, so that a full one keeps nobody waiting in another', async () => {
    const { begun, add, endAll } = bench({ known: 9, unknown: 9 });
    for (const name of ['a', 'b', 'c', 'd', 'e']) void add('unknown', name);
    for (const name of ['K', 'L']) void add('known', name);

    await endAll();

    expect(begun).toEqual(['a', 'b', 'K', 'c', 'L', 'd', 'e']);
  });

  it('lets the subjects of a lane take turns, whoever of them has more waiting', async () => {
    const { begun, add, endAll } = bench({ known: 9, unknown: 9 });
    for (const name of ['a1', 'a2', 'a3', 'a4']) void add('unknown', name, 'a');
    for (const name of ['b1', 'b2']) void add('unknown', name, 'b');
    void add('unknown', 'c1', 'c');

    await endAll();

    expect(begun).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
  });

  it('refuses at once what comes to a full lane, and nobody else', async () => {
    const { queue, add, begun, refused } = bench({ known: 1, unknown: 2 });
    for (const name of ['a', 'b', 'c']) void add('unknown', name);
    await settled();

    await add('unknown', 'd');
    void add('known', 'K');
    await add('known', 'L');

    expect(refused).toEqual(['d', 'L']);
    expect([queue.length('unknown'), queue.length('known'), queue.length()]).toEqual([2, 1, 3]);
    expect(begun).toEqual(['a']);
  });

  it('refuses nobody while there is room, however many of them are one', async () => {
    const { add, begun, refused, endAll } = bench({ known: 1, unknown: 8 });
    for (let count = 0; count < 9; count += 1) void add('unknown', `a${count}`, 'office');

    await endAll();

    expect([begun.length, refused]).toEqual([9, []]);
  });

  it('gives the last place of who has most waiting to whoever comes with less, and tells him so at once', async () => {
    const { queue, add, begun, refused, endAll } = bench({ known: 1, unknown: 4 });
    for (const name of ['a0', 'a1', 'a2', 'a3', 'a4']) void add('unknown', name, 'a');
    await settled();

    void add('unknown', 'b1', 'b');
    await settled();

    expect([refused, queue.length('unknown')]).toEqual([['a4'], 4]);
    void add('unknown', 'a5', 'a');
    void add('unknown', 'b2', 'b');
    await settled();
    // Three against one is more; two against two, or against the third of one's own, is not.
    expect(refused).toEqual(['a4', 'a5', 'a3']);
    expect(queue.hasRoom({ lane: 'unknown', network: 'b', subject: 'b' })).toBe(false);
    expect(queue.hasRoom({ lane: 'unknown', network: 'c', subject: 'c' })).toBe(true);
    await endAll();
    expect(begun).toEqual(['a0', 'a1', 'b1', 'a2', 'b2']);
  });

  it('lets networks take turns, and the subjects of each, however many subjects there are in one', async () => {
    const { begun, add, endAll } = bench({ known: 9, unknown: 9 });
    for (const name of ['a1', 'b1', 'c1', 'c2', 'a2']) void add('known', name, name.charAt(0), 'many');
    for (const name of ['x1', 'x2']) void add('known', name, 'x', 'few');

    await endAll();

    expect(begun).toEqual(['a1', 'b1', 'x1', 'c1', 'x2', 'a2', 'c2']);
  });

  it('gives the last place of the network that has most waiting to whoever comes from another, though each has only one', async () => {
    const { queue, add, begun, refused, endAll } = bench({ known: 4, unknown: 1 });
    for (const name of ['under way', 'a', 'b', 'c', 'd']) void add('known', name, name, 'many accounts');
    await settled();

    void add('known', 'owner', 'owner', 'elsewhere');
    await settled();
    void add('known', 'e', 'e', 'many accounts');
    await settled();

    expect([refused, queue.length('known')]).toEqual([['d', 'e'], 4]);
    await endAll();
    expect(begun).toEqual(['under way', 'a', 'owner', 'b', 'c']);
  });

  it('gives the last place of a subject that has most waiting to another, though each comes from a network of its own', async () => {
    const { add, refused } = bench({ known: 4, unknown: 1 });
    for (const name of ['under way', '1', '2', '3', '4'])
      void add('known', name, 'stolen', `network ${name}`);
    await settled();

    void add('known', 'owner', 'owner', 'elsewhere');
    await settled();

    expect(refused).toEqual(['4']);
  });

  it('of a network gives the place of who has most there', async () => {
    const { add, refused } = bench({ known: 4, unknown: 1 });
    for (const name of ['under way', 'b1', 'a1', 'a2', 'c1']) {
      void add('known', name, name.charAt(0), 'many accounts');
    }
    await settled();

    void add('known', 'owner', 'owner', 'elsewhere');
    await settled();

    expect(refused).toEqual(['a2']);
  });

  it('takes nothing from a network for one that has more, however few its subject has', async () => {
    const { add, refused } = bench({ known: 6, unknown: 1 });
    for (const name of ['under way', 'a', 'b', 'c', 'd']) void add('known', name, name, 'many accounts');
    for (const name of ['owner 1', 'owner 2']) void add('known', name, 'owner', 'elsewhere');
    await settled();

    void add('known', 'e', 'e', 'many accounts');
    await settled();

    expect(refused).toEqual(['e']);
  });

  it('takes no place from anybody who has one more than whoever comes, or as much', async () => {
    const { add, refused, queue } = bench({ known: 1, unknown: 3 });
    for (const name of ['a', 'b', 'c', 'd']) void add('unknown', name);

    await add('unknown', 'e');
    await add('unknown', 'd2', 'd');

    expect([refused, queue.length()]).toEqual([['e', 'd2'], 3]);
  });

  it('begins or refuses each once, and never holds more than it may, whatever comes in whatever order', async () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.tuple(
          fc.constantFrom<Lane>('known', 'unknown'),
          fc.constantFrom('a', 'b', 'c'),
          fc.constantFrom('n', 'm', 'o'),
        ),
      },
      { weight: 1, arbitrary: fc.constant('end' as const) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const limits = { known: 2, unknown: 5 };
        const { queue, add, begun, refused, endOne, endAll } = bench(limits, 2);
        const come: string[] = [];
        const lanes = new Map<string, Lane>();
        for (const [index, what] of steps.entries()) {
          if (what === 'end') await endOne();
          else {
            const name = `${index}`;
            const [lane, subject, network] = what;
            const promised = queue.hasRoom({ lane, network, subject });
            come.push(name);
            lanes.set(name, lane);
            void add(lane, name, subject, network);
            await settled();
            expect(refused.includes(name)).toBe(!promised);
          }
          const waiting = come.filter((name) => !begun.includes(name) && !refused.includes(name));
          for (const lane of ['known', 'unknown'] as const) {
            const there = waiting.filter((name) => lanes.get(name) === lane);
            expect(queue.length(lane)).toBe(there.length);
            expect(there.length).toBeLessThanOrEqual(limits[lane]);
          }
        }

        await endAll();

        expect([...begun, ...refused].sort()).toEqual(come.sort());
        expect(queue.length()).toBe(0);
      }),
      { numRuns: 300, seed: PROPERTY_SEED },
    );
  });

  it('gives the slot on when work fails', async () => {
    const { queue, begun, add } = bench({ known: 9, unknown: 9 });
    const failing = queue.run({ lane: 'known', network: 'a', subject: 'a' }, () =>
      Promise.reject(new Error('out of memory')),
    );
    void add('known', 'next');

    await expect(failing).rejects.toThrow('out of memory');
    await settled();

    expect(begun).toEqual(['next']);
  });
});
