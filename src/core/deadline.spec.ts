import { Deadline } from './deadline';

describe('a deadline', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  /** Runs out of its 50 ms after `begin` has had it. */
  const expired = async (begin: (deadline: Deadline) => void): Promise<unknown> => {
    const outcome = Deadline.run(50, (deadline) => {
      begin(deadline);
      return new Promise<void>(() => undefined);
    }).catch((error: unknown) => error);
    await jest.advanceTimersByTimeAsync(50);
    return outcome;
  };

  it('has given up what was held last by when its caller is answered', async () => {
    const givenUp: string[] = [];

    const outcome = await expired((deadline) => {
      deadline.onExpiry(() => givenUp.push('first'));
      deadline.onExpiry(() => givenUp.push('last'));
    });

    expect(outcome).toMatchObject({ code: 'service_unavailable' });
    expect(givenUp).toEqual(['last']);
  });

  it('gives up nothing that was given back before', async () => {
    const giveUp = jest.fn();

    await expired((deadline) => deadline.onExpiry(giveUp)());

    expect(giveUp).not.toHaveBeenCalled();
  });

  it('gives up what is held now, though what was held before is given back later', async () => {
    const giveUp = jest.fn();

    await expired((deadline) => {
      const undo = deadline.onExpiry(() => undefined);
      deadline.onExpiry(giveUp);
      undo();
    });

    expect(giveUp).toHaveBeenCalledTimes(1);
  });

  it('throws once it has expired, and not before', async () => {
    let seen: Deadline | undefined;
    const goesOn = jest.fn();

    await expired((deadline) => {
      seen = deadline;
      deadline.throwIfExpired();
      goesOn();
    });

    expect(goesOn).toHaveBeenCalledTimes(1);
    expect(() => seen?.throwIfExpired()).toThrow('Service temporarily unavailable');
  });
});
