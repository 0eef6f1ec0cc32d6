import { gate } from '../../test/support/gate';
import { LaneFull, LaneQueue } from './lane-queue';

/** Work that ends when it is told to, in the order in which it was begun. */
function bench(limits: Record<'known' | 'unknown', number>, slots = 1) {
  const queue = new LaneQueue(limits, slots);
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const add = (lane: 'known' | 'unknown', name: string): Promise<void> =>
    queue.run(lane, () => {
      begun.push(name);
      const end = gate();
      ends.push(() => end.open());
      return end.opened;
    });
  /** Ends the oldest work and lets the next begin. */
  const endOne = async (): Promise<void> => {
    ends.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { queue, begun, add, endOne };
}

describe('the queue of the hashing threads', () => {
  it('begins no more at once than there are slots', async () => {
    const { begun, add, endOne } = bench({ known: 9, unknown: 9 }, 2);

    void ['a', 'b', 'c'].map((name) => add('unknown', name));
    await new Promise((resolve) => setImmediate(resolve));

    expect(begun).toEqual(['a', 'b']);
    await endOne();
    expect(begun).toEqual(['a', 'b', 'c']);
  });

  it('lets the lanes take turns, so that a full one keeps nobody waiting in another', async () => {
    const { begun, add, endOne } = bench({ known: 9, unknown: 9 });
    for (const name of ['a', 'b', 'c', 'd', 'e']) void add('unknown', name);
    for (const name of ['K', 'L']) void add('known', name);

    for (let count = 0; count < 7; count += 1) await endOne();

    expect(begun).toEqual(['a', 'b', 'K', 'c', 'L', 'd', 'e']);
  });

  it('refuses at once what comes to a full lane, and nobody else', async () => {
    const { queue, add, begun } = bench({ known: 1, unknown: 2 });
    for (const name of ['a', 'b', 'c']) void add('unknown', name);
    await new Promise((resolve) => setImmediate(resolve));

    await expect(add('unknown', 'd')).rejects.toThrow(LaneFull);
    void add('known', 'K');
    await expect(add('known', 'L')).rejects.toThrow(LaneFull);

    expect([queue.length('unknown'), queue.length('known'), queue.length()]).toEqual([2, 1, 3]);
    expect(begun).toEqual(['a']);
  });

  it('gives the slot on when work fails', async () => {
    const { queue, begun, add } = bench({ known: 9, unknown: 9 });
    const failing = queue.run('known', () => Promise.reject(new Error('out of memory')));
    void add('known', 'next');

    await expect(failing).rejects.toThrow('out of memory');
    await new Promise((resolve) => setImmediate(resolve));

    expect(begun).toEqual(['next']);
  });
});
