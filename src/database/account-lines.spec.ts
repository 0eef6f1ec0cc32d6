import { type Gate, gate } from '../../test/support/gate';
import { Deadline } from '../core/deadline';
import { AccountLines, MOST_IN_LINE } from './account-lines';

/** Longer than any of this takes. */
const PATIENCE_MS = 60_000;

/** Units that end when they are told to, and note when they are begun. */
function bench() {
  const lines = new AccountLines();
  const begun: string[] = [];
  const ends = new Map<string, Gate>();
  const add = (account: string, name: string, milliseconds = PATIENCE_MS): Promise<void> =>
    Deadline.run(milliseconds, (deadline) =>
      lines.pass(account, deadline, () => {
        begun.push(name);
        const end = gate();
        ends.set(name, end);
        return end.opened;
      }),
    );
  const end = (name: string) => ends.get(name)?.open();
  return { lines, begun, add, end };
}

/** Lets everything go on that can. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('the line of an account', () => {
  it('lets one unit pass at a time, in the order in which they came', async () => {
    const { begun, add, end } = bench();
    const all = ['a', 'b', 'c'].map((name) => add('jane', name));

    const seen: string[][] = [];
    for (const name of ['a', 'b', 'c']) {
      await settled();
      seen.push([...begun]);
      end(name);
    }
    await Promise.all(all);

    expect(seen).toEqual([['a'], ['a', 'b'], ['a', 'b', 'c']]);
  });

  it('is nothing to other accounts', async () => {
    const { begun, add, end } = bench();

    const all = [add('jane', 'a'), add('jane', 'b'), add('john', 'c')];
    await settled();

    expect(begun).toEqual(['a', 'c']);
    end('a');
    await settled();
    ['b', 'c'].forEach(end);
    await Promise.all(all);
  });

  it('lets nobody in between who comes while the turn is handed on', async () => {
    const { begun, add, end } = bench();
    const first = add('jane', 'a');
    const second = add('jane', 'b');
    await settled();

    end('a');
    const third = first.then(() => add('jane', 'c'));
    await settled();

    expect(begun).toEqual(['a', 'b']);
    end('b');
    await settled();
    end('c');
    await Promise.all([second, third]);
  });

  it('goes on with the next when a unit fails, also one that fails at once', async () => {
    const { lines, begun, add, end } = bench();
    const fail = () =>
      Deadline.run(PATIENCE_MS, (deadline) =>
        lines.pass('jane', deadline, () => Promise.reject(new Error('undo'))),
      );
    const failing = [fail(), fail()];
    const next = add('jane', 'next');

    const outcomes = await Promise.allSettled(failing);
    await settled();

    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(begun).toEqual(['next']);
    end('next');
    await next;
  });

  it('is left by whoever runs out of time: he is told so then, never begins, and holds up nobody', async () => {
    const { begun, add, end } = bench();
    const first = add('jane', 'first');
    const late = add('jane', 'late', 20);
    const last = add('jane', 'last');

    await expect(late).rejects.toMatchObject({ code: 'service_unavailable' });
    expect(begun).toEqual(['first']);
    end('first');
    await first;
    await settled();

    expect(begun).toEqual(['first', 'last']);
    end('last');
    await last;
  });

  it('has room for so many, and again when some have run out of time; the next is refused at once', async () => {
    const { begun, add, end } = bench();
    const first = add('jane', 'first');
    const waiting = Array.from({ length: MOST_IN_LINE }, (_, index) => add('jane', `late-${index}`, 100));
    const outcomes = Promise.allSettled(waiting);

    await expect(add('jane', 'one too many')).rejects.toMatchObject({ code: 'service_unavailable' });
    expect((await outcomes).filter(({ status }) => status === 'fulfilled')).toEqual([]);
    const next = add('jane', 'next');
    end('first');
    await first;
    await settled();

    expect(begun).toEqual(['first', 'next']);
    end('next');
    await next;
  });

  it('is gone when nobody is in it any more, however it was left', async () => {
    const { lines, add, end } = bench();
    const all = [add('jane', 'a'), add('jane', 'late', 20), add('john', 'b')];
    await settled();
    const during = lines.size;

    await expect(all[1]).rejects.toMatchObject({ code: 'service_unavailable' });
    ['a', 'b'].forEach(end);
    await Promise.all([all[0], all[2]]);

    expect([during, lines.size]).toEqual([2, 0]);
  });
});
