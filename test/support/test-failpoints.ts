import { type Failpoint, Failpoints } from '../../src/core/failpoints';
import { gate } from './gate';

type Action = (point: Failpoint) => Promise<void> | undefined;

/** Places that a test has something done at. */
export class TestFailpoints extends Failpoints {
  private action: Action | undefined;

  override reach(point: Failpoint): Promise<void> | undefined {
    return this.action?.(point);
  }

  /** From here on `action` is what happens at every place, instead of whatever was set before. */
  set(action: Action | undefined): void {
    this.action = action;
  }

  /** Has the first `size` callers wait at `point` for each other. Whoever comes back for a second look passes. */
  gather(point: Failpoint, size: number): void {
    const complete = gate();
    let arrived = 0;
    this.set((reached) => {
      if (reached !== point || arrived === size) return undefined;
      arrived += 1;
      if (arrived === size) complete.open();
      return complete.opened;
    });
  }

  /** Holds the next caller at `point`; others pass. */
  hold(point: Failpoint): { reached: Promise<void>; release: () => void } {
    const [reached, released] = [gate(), gate()];
    let held = false;
    this.set((passed) => {
      if (passed !== point || held) return undefined;
      held = true;
      reached.open();
      return released.opened;
    });
    return { reached: reached.opened, release: () => released.open() };
  }
}
