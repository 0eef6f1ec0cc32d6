import { Clock, KeptClock } from '../core/clock';
import { createLog } from '../core/log';
import { Metrics } from '../core/metrics';
import { ClockKeeper, MOST_CORRECTED_MS } from './clock-keeper';

const NOW = new Date('2026-03-14T12:00:00.000Z').getTime();

/** A machine that is wrong by so many milliseconds; by its monotonic clock it was 1,000 at first. */
class Machine extends Clock {
  wrongBy = 0;
  passed = 0;

  now(): Date {
    return new Date(NOW + this.passed + this.wrongBy);
  }

  monotonic(): number {
    return 1_000 + this.passed;
  }
}

describe('the keeper of the clock', () => {
  let machine: Machine;
  let clock: KeptClock;
  let keeper: ClockKeeper;
  const logged: string[] = [];
  beforeEach(() => {
    machine = new Machine();
    clock = new KeptClock(machine);
    logged.length = 0;
    const log = createLog('info', { write: (line: string) => void logged.push(line) });
    keeper = new ClockKeeper(clock, log, new Metrics());
  });

  /** The database is asked so long ago, and answers just now; in the middle of that it was what it says, or it is wrong. */
  const sample = (roundTrip = 0, wrongBy = 0) =>
    keeper.note({ said: new Date(NOW + wrongBy - roundTrip / 2), asked: 1_000 - roundTrip, answered: 1_000 });
  const offBy = () => clock.now().getTime() - NOW;

  it.each([-300_000, -500, -101, 101, 500, 300_000, MOST_CORRECTED_MS])('corrects %d ms', (wrongBy) => {
    machine.wrongBy = wrongBy;

    sample();

    expect(offBy()).toBe(0);
    expect(clock.correction).toBe(-wrongBy);
    expect(keeper.isAstray).toBe(false);
    expect(logged).toHaveLength(Math.abs(wrongBy) < 1_000 ? 0 : 1);
  });

  it.each([-100, 0, 100])('leaves %d ms alone, which may be noise', (wrongBy) => {
    machine.wrongBy = wrongBy;

    sample();

    expect(offBy()).toBe(wrongBy);
  });

  it('adds to the noise what a slow answer cannot tell', () => {
    machine.wrongBy = 290;
    sample(400);
    expect(offBy()).toBe(290);

    machine.wrongBy = 310;
    sample(400);
    expect(offBy()).toBe(0);
  });

  it.each([-300_000, -600, 600, 300_000])(
    'moves by an answer that took longer than a second as far as that proves: %d ms',
    (wrongBy) => {
      sample();
      machine.wrongBy = wrongBy;

      expect(sample(1_002)).toBe(Math.abs(wrongBy) > 601);

      expect(offBy()).toBe(wrongBy === 600 || wrongBy === -600 ? wrongBy : Math.sign(wrongBy) * 501);
    },
  );

  it('is not to be trusted before it has been compared, and has all judged anew then', () => {
    expect(clock.isTrusted).toBe(false);

    expect(sample(5_000)).toBe(true);

    expect(clock.isTrusted).toBe(true);
    expect(sample()).toBe(false);
  });

  it('follows a clock that is set again, and says so for every second', () => {
    for (const wrongBy of [5_000, 5_200, 0]) {
      machine.wrongBy = wrongBy;
      expect(sample()).toBe(true);
      expect(offBy()).toBe(0);
    }

    expect(logged).toEqual([expect.stringContaining('is off'), expect.stringContaining('agree again')]);
  });

  it('tells of a clock that drifts, however small its steps', () => {
    for (let wrongBy = 0; wrongBy <= 3_000; wrongBy += 150) {
      machine.wrongBy = wrongBy;
      sample();
    }

    expect(logged.length).toBeGreaterThanOrEqual(2);
    expect(logged.length).toBeLessThanOrEqual(3);
  });

  it.each([MOST_CORRECTED_MS + 1, -MOST_CORRECTED_MS - 1, NaN])(
    'corrects nothing when it is off by %d ms, says so once, and is right again when the clock is',
    (wrongBy) => {
      machine.wrongBy = 2_000;
      sample();
      machine.wrongBy = wrongBy;
      expect([sample(), sample()]).toEqual([true, false]);
      expect([keeper.isAstray, clock.isTrusted, clock.correction]).toEqual([true, false, -2_000]);
      expect(logged.filter((line) => line.includes('not ready'))).toHaveLength(1);

      machine.wrongBy = 0;
      expect(sample()).toBe(true);

      expect([keeper.isAstray, clock.isTrusted, offBy()]).toEqual([false, true, 0]);
    },
  );

  it.each([MOST_CORRECTED_MS + 1, -MOST_CORRECTED_MS - 1])(
    'has it run on from when it could be trusted while it is off by %d ms',
    (wrongBy) => {
      machine.wrongBy = 2_000;
      sample();
      machine.wrongBy = wrongBy;
      sample();

      machine.passed = 3_600_000;

      expect(offBy()).toBe(3_600_000);
      expect(clock.isTrusted).toBe(false);
    },
  );

  it.each([-300_000, -1_000, 1_000, 300_000])(
    "has it run on while the machine's has been set by %d ms and not yet been compared",
    (steppedBy) => {
      machine.wrongBy = 2_000;
      sample();
      machine.wrongBy += steppedBy;

      machine.passed = 299;

      expect(offBy()).toBe(299);
      expect(clock.isTrusted).toBe(true);
    },
  );

  it.each([-7_200_000, -1_000, 1_000, 7_200_000])(
    "has all judged anew when the database's clock is set with the machine's: by %d ms",
    (steppedBy) => {
      sample();
      machine.wrongBy = steppedBy;

      expect([sample(0, steppedBy), sample(0, steppedBy)]).toEqual([true, false]);

      expect([clock.correction, keeper.isAstray]).toEqual([0, false]);
    },
  );

  it('leaves a clock alone that is not its own to keep', () => {
    const other = new ClockKeeper(machine, createLog('silent'), new Metrics());
    machine.wrongBy = 2 * MOST_CORRECTED_MS;

    other.note({ said: new Date(NOW), asked: 1_000, answered: 1_000 });

    expect(other.isAstray).toBe(false);
  });
});
