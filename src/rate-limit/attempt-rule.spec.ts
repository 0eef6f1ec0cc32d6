import { admit, type Attempts, NO_ATTEMPTS, succeed, withdraw } from './attempt-rule';
import { LIMITS } from './limits';

const RULE = LIMITS['login-account'];
const DAY = 24 * 3600;

/** Lets one in that is then wrong; throws when it is refused. */
const fail = (attempts: Attempts, now: number): Attempts => {
  const admission = admit(RULE, attempts, now);
  if (admission.kind === 'refused') throw new Error(`refused for ${admission.retryAfter} s`);
  return admission.attempts;
};

const failTimes = (times: number, now: number, attempts: Attempts = NO_ATTEMPTS): Attempts =>
  Array.from({ length: times }).reduce<Attempts>((before) => fail(before, now), attempts);

describe('the rule for passwords', () => {
  it('lets ten failures in a row in at once, and no eleventh', () => {
    const ten = failTimes(10, 1000);

    expect(admit(RULE, ten, 1000)).toEqual({ kind: 'refused', retryAfter: 1, quota: 10 });
  });

  it('then lets one in after each pause, and the pauses double up to a quarter of an hour', () => {
    let attempts = failTimes(10, 0);
    let now = 0;
    const pauses: number[] = [];

    for (let count = 0; count < 14; count += 1) {
      const refused = admit(RULE, attempts, now);
      if (refused.kind !== 'refused') throw new Error('let in without a pause');
      pauses.push(refused.retryAfter);
      expect(admit(RULE, attempts, now + refused.retryAfter - 1)).toMatchObject({
        kind: 'refused',
        retryAfter: 1,
      });
      now += refused.retryAfter;
      attempts = fail(attempts, now);
    }

    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]);
  });

  it('never evaluates more than a hundred failures in any day, whoever succeeds in between', () => {
    let attempts = NO_ATTEMPTS;
    const evaluated: number[] = [];
    // Somebody guesses as fast as he is let in, and the owner signs in every minute.
    for (let now = 0; now < 3 * DAY; now += 5) {
      for (;;) {
        const guess = admit(RULE, attempts, now);
        if (guess.kind === 'refused') break;
        attempts = guess.attempts;
        evaluated.push(now);
      }
      if (now % 60 !== 0) continue;
      const owner = admit(RULE, attempts, now);
      // The worst there could be: the row ends also where the owner himself is kept out.
      attempts = owner.kind === 'admitted' ? succeed(owner.attempts, owner.at) : { ...attempts, inARow: 0 };
    }

    const mostInADay = Math.max(
      ...evaluated.map((from) => evaluated.filter((at) => at >= from && at < from + DAY).length),
    );
    expect(mostInADay).toBe(100);
  });

  it('tells how long the hundred-and-first has to wait', () => {
    const hundred = { evaluated: Array.from({ length: 100 }, (_, index) => index * 60), inARow: 0 };

    const refused = admit(RULE, hundred, 6000);

    expect(refused).toEqual({ kind: 'refused', retryAfter: DAY - 6000, quota: 100 });
    expect(admit(RULE, hundred, DAY).kind).toBe('admitted');
  });

  it('forgets a row with its failures, after a day', () => {
    const ten = failTimes(10, 0);

    expect(admit(RULE, ten, DAY)).toMatchObject({ kind: 'admitted', attempts: { inARow: 1 } });
  });

  it('ends the row with a success, and keeps the failures of others', () => {
    const eight = failTimes(8, 0);
    const owner = admit(RULE, eight, 5);
    if (owner.kind === 'refused') throw new Error('refused');

    const after = succeed(owner.attempts, owner.at);

    expect(after).toEqual({ evaluated: eight.evaluated, inARow: 0 });
  });

  it('forgets what was not evaluated after all', () => {
    const five = failTimes(5, 0);
    const sixth = admit(RULE, five, 3);
    if (sixth.kind === 'refused') throw new Error('refused');

    expect(withdraw(sixth.attempts, sixth.at)).toEqual(five);
  });

  it('is not thrown off by another instance whose clock is ahead', () => {
    const theirs = fail(NO_ATTEMPTS, 1010);

    const ours = admit(RULE, theirs, 1000);

    expect(ours).toMatchObject({ kind: 'admitted', attempts: { evaluated: [1000, 1010], inARow: 2 } });
  });
});
