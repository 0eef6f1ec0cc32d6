import { setTimeout as delay } from 'node:timers/promises';
import { gate } from '../../test/support/gate';
import { LONGEST_ENDING_MS, PeriodicTask } from './periodic-task';

describe('a periodic task', () => {
  it('comes round again, one round at a time, also when a round takes longer than the interval', async () => {
    let running = 0;
    let most = 0;
    let rounds = 0;
    const third = gate();
    const task = new PeriodicTask({
      intervalMs: 1,
      round: async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        rounds += 1;
        if (rounds === 3) third.open();
      },
    });

    task.start();
    await third.opened;
    await task.stop();

    expect(most).toBe(1);
  });

  it('is not stopped in the middle of a round, and has none afterwards', async () => {
    let begun = 0;
    const entered = gate();
    const leave = gate();
    const task = new PeriodicTask({
      intervalMs: 1,
      round: async () => {
        begun += 1;
        entered.open();
        await leave.opened;
      },
    });
    task.start();
    await entered.opened;

    let stopped = false;
    const stop = task.stop().then(() => (stopped = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(stopped).toBe(false);
    leave.open();
    await stop;

    expect(begun).toBe(1);
  });

  it('does not hold up a stop for longer than three seconds from when it was told, if its round hangs', async () => {
    const entered = gate();
    const task = new PeriodicTask({
      intervalMs: 1,
      round: async () => {
        entered.open();
        await gate().opened;
      },
    });
    task.start();
    await entered.opened;

    task.retire();
    await delay(LONGEST_ENDING_MS);

    // Its time is over already.
    await task.stop();
  }, 10_000);
});
