import type { AttemptLimit } from './limits';

/** What is remembered of the passwords that were tried against one thing. Instants are whole seconds. */
export interface Attempts {
  /** When each was let in that has not succeeded, oldest first; those under way are among them. */
  readonly evaluated: readonly number[];
  /** How many of the last of them are in a row, without a success between. */
  readonly inARow: number;
}

export const NO_ATTEMPTS: Attempts = { evaluated: [], inARow: 0 };

/** Let in, and counted as failed until it has succeeded; or to come again after `retryAfter` seconds. */
export type Admission =
  | { kind: 'admitted'; attempts: Attempts; at: number }
  | {
      kind: 'refused';
      retryAfter: number;
      /** How many in how many seconds were too much. */
      quota: number;
    };

/**
 * Lets an attempt in or not. It is counted before anything is evaluated, so that a thousand at once are no more than one
 * after the other.
 */
export function admit(limit: AttemptLimit, before: Attempts, now: number): Admission {
  const evaluated = before.evaluated.filter((at) => at > now - limit.seconds);
  const inARow = Math.min(before.inARow, evaluated.length);
  const pause = inARow < limit.points ? 0 : pauseAfter(limit, inARow) - (now - (evaluated.at(-1) ?? now));
  const oldest = evaluated[evaluated.length - limit.most];
  const untilForgotten = oldest === undefined ? 0 : oldest + limit.seconds - now;
  const retryAfter = Math.max(pause, untilForgotten);
  if (retryAfter > 0) {
    return { kind: 'refused', retryAfter, quota: untilForgotten > pause ? limit.most : limit.points };
  }
  return {
    kind: 'admitted',
    attempts: { evaluated: [...evaluated, now].sort((a, b) => a - b), inARow: inARow + 1 },
    at: now,
  };
}

/**
 * The password was right: no failure, and the end of the row. Failures of others stay, so that whoever guesses while the
 * owner comes and goes has no more than `most` in all.
 */
export function succeed({ evaluated }: Attempts, at: number): Attempts {
  return { evaluated: without(evaluated, at), inARow: 0 };
}

/** Nothing was evaluated after all. */
export function withdraw({ evaluated, inARow }: Attempts, at: number): Attempts {
  return { evaluated: without(evaluated, at), inARow: Math.max(0, inARow - 1) };
}

/** Doubles from one second with each failure beyond those that are free. */
function pauseAfter({ points, longestPause }: AttemptLimit, inARow: number): number {
  return Math.min(2 ** (inARow - points), longestPause);
}

function without(evaluated: readonly number[], at: number): number[] {
  const index = evaluated.indexOf(at);
  return evaluated.filter((_, position) => position !== index);
}
