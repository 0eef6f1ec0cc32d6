import { Clock, KeptClock } from '../core/clock';
import { createLog } from '../core/log';
import { Metrics } from '../core/metrics';
import { ClockKeeper, MOST_CORRECTED_MS } from './clock-keeper';

const NOW = new Date('2026-03-14T12:00:00.000Z').getTime();

/** A machine that is wrong by so many milliseconds; by its monotonic clock it is always 1,000. */
class Machine extends Clock {
  wrongBy = 0;

  now(): Date {
    return new Date(NOW + this.wrongBy);
  }

  monotonic(): number {
    return 1_000;
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

  /** The database is asked so long ago, and answers just now; in the middle of that it was what it says. */
  const sample = (roundTrip = 0) =>
    keeper.note({ said: new Date(NOW - roundTrip / 2), asked: 1_000 - roundTrip, answered: 1_000 });
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

  it('believes no answer that took longer than a second', () => {
    machine.wrongBy = 300_000;

    sample(1_001);

    expect(offBy()).toBe(300_000);
  });

  it('follows a clock that is set again, without a word where it is by little', () => {
    for (const wrongBy of [5_000, 5_200, 0]) {
      machine.wrongBy = wrongBy;
      sample();
      expect(offBy()).toBe(0);
    }

    expect(logged).toHaveLength(2);
  });

  it('corrects nothing beyond what it may, says so once, and is right again when the clock is', () => {
    machine.wrongBy = 2_000;
    sample();
    machine.wrongBy = MOST_CORRECTED_MS + 1;
    sample();
    sample();
    expect([keeper.isAstray, clock.correction]).toEqual([true, -2_000]);
    expect(logged.filter((line) => line.includes('not ready'))).toHaveLength(1);

    machine.wrongBy = 0;
    sample();

    expect([keeper.isAstray, offBy()]).toEqual([false, 0]);
  });

  it('leaves a clock alone that is not its own to keep', () => {
    const other = new ClockKeeper(machine, createLog('silent'), new Metrics());
    machine.wrongBy = 2 * MOST_CORRECTED_MS;

    other.note({ said: new Date(NOW), asked: 1_000, answered: 1_000 });

    expect(other.isAstray).toBe(false);
  });
});
