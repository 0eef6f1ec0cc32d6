import { Progress } from './progress';

const ERASED = '\r\u001b[K';

describe('the progress of a long command', () => {
  let now: number;
  let written: string[];
  const { isTTY } = process.stderr;
  beforeEach(() => {
    now = 0;
    written = [];
    jest.spyOn(process.stderr, 'write').mockImplementation((text) => {
      written.push(String(text));
      return true;
    });
  });
  afterEach(() => {
    jest.restoreAllMocks();
    process.stderr.isTTY = isTTY;
  });

  /** What is written where somebody reports each tenth of a second for so long. */
  const after = (seconds: number, terminal: boolean): string[] => {
    process.stderr.isTTY = terminal;
    const progress = new Progress({ now: () => new Date(now), monotonic: () => now, isTrusted: true });
    for (let tenth = 1; tenth <= seconds * 10; tenth += 1) {
      now += 100;
      progress.show(`${tenth / 10} s`);
    }
    progress.end();
    return written;
  };

  it('is a line that changes five times a second on a terminal, and is gone at the end', () => {
    expect(after(0.5, true)).toEqual([`${ERASED}0.2 s`, `${ERASED}0.4 s`, ERASED]);
  });

  it('is a line of its own each ten seconds in a log', () => {
    expect(after(25, false)).toEqual(['10 s\n', '20 s\n']);
  });

  it('is nothing where a command is done at once', () => {
    expect([after(0.1, true), after(9, false)].flat()).toEqual([]);
  });
});
