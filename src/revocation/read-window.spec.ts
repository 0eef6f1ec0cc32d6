import { LATEST_MS, ReadWindow } from './read-window';

const EVER = new Date(0);

/** A line that ends so many milliseconds after the beginning of time. */
const line = (position: number | string, end = 1_000) => ({ position, expiresAt: new Date(end) });

describe('how far the feed has been read', () => {
  let window: ReadWindow;
  beforeEach(() => {
    window = new ReadWindow();
  });

  it('is nowhere before the first poll', () => {
    expect([window.newest, window.settled, window.countSeen(0, EVER)]).toEqual([0, 0, 0]);
  });

  it.each([
    ['may still come late', LATEST_MS - 1, 0],
    ['can come late no more', LATEST_MS, 5],
  ])('is settled where a line %s', (_, sinceThrough, settled) => {
    window.advance({ asked: 0, through: 10, position: 5 });

    window.advance({ asked: 10 + sinceThrough, through: 20 + sinceThrough, position: 7 });

    expect([window.newest, window.settled]).toEqual([7, settled]);
  });

  it('is settled as far as the newest poll had read that is old enough, however many are', () => {
    const later = [10, 30, 40].map((through) => through + LATEST_MS);
    [1, 2, 3].forEach((position) => window.advance({ asked: 0, through: position * 10, position }));

    const settled = later.map((asked, index) => {
      window.advance({ asked, through: asked, position: 10 + index });
      return window.settled;
    });

    expect(settled).toEqual([1, 3, 3]);
  });

  it('takes the time from when the last poll asked, however long it took to be through', () => {
    window.advance({ asked: 0, through: 10, position: 5 });

    window.advance({ asked: LATEST_MS, through: 2 * LATEST_MS, position: 7 });

    expect(window.settled).toBe(0);
  });

  it('has each line once, whether its position comes as a number or as a text', () => {
    const isNew = [line(1), line('1'), line('2'), line(2)].map((each) => window.add(each));

    expect(isNew).toEqual([true, false, true, false]);
    expect(window.countSeen(0, EVER)).toBe(2);
  });

  it('counts the lines behind a position that end later than an instant', () => {
    for (const each of [line(1, 900), line(2, 100), line(3, 500), line(4, 501)]) window.add(each);

    const counts = [window.countSeen(0, EVER), window.countSeen(1, EVER), window.countSeen(0, new Date(500))];

    expect(counts).toEqual([4, 3, 2]);
  });

  it('forgets the lines that it has settled, and no others', () => {
    for (const position of [4, 5, 6]) window.add(line(position));
    window.advance({ asked: 0, through: 10, position: 5 });
    const before = window.countSeen(0, EVER);

    window.advance({ asked: 10 + LATEST_MS, through: 20 + LATEST_MS, position: 6 });

    expect([before, window.countSeen(0, EVER)]).toEqual([3, 1]);
  });

  it('is nowhere again once it is cleared', () => {
    window.add(line(4));
    window.advance({ asked: 0, through: 10, position: 5 });
    window.advance({ asked: 10 + LATEST_MS, through: 20 + LATEST_MS, position: 6 });
    window.add(line(6));

    window.clear();

    expect([window.newest, window.settled, window.countSeen(0, EVER), window.add(line(6))]).toEqual([
      0,
      0,
      0,
      true,
    ]);
  });
});
