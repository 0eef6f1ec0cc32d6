/** What a client keeps, for all its tabs: the refresh token, and what belongs to the refresh that is under way with it. */
interface Kept {
  token: string;
  /** When the first attempt with this token was begun. */
  begunAt?: number;
  /** `Idempotency-Key` of all attempts with this token. */
  key?: string;
}

/** One attempt to refresh: what is sent, and what the network needs to know of it. */
export interface Attempt {
  token: string;
  key: string | undefined;
  begunAt: number;
}

/**
 * A client that follows the retry rule, in any number of tabs that share one store:
 * - One refresh at a time: every attempt is made with the token in the store, and goes on until one is answered.
 * - Without a key attempts are made within the grace of the first, with a key at any time.
 * - The key is made for the first attempt, kept beside the token, and sent with every attempt.
 */
export class HonestClient {
  private kept: Kept;
  private keys = 0;

  constructor(
    token: string,
    private readonly usesKeys: boolean,
  ) {
    this.kept = { token };
  }

  /** Since when a refresh has been waiting for its answer, if one has. */
  get waitingSince(): number | undefined {
    return this.kept.begunAt;
  }

  /** The next attempt, in whichever tab: a refresh that is begun, or one that is repeated. */
  attempt(now: number): Attempt {
    const { token, begunAt = now } = this.kept;
    if (this.usesKeys) this.kept.key ??= `key-of-this-refresh-${(this.keys += 1)}`;
    this.kept.begunAt = begunAt;
    return { token, key: this.kept.key, begunAt };
  }

  /** An answer has come. What answers a token that is no longer in the store is no news. */
  take(attempt: Attempt, successor: string): void {
    if (attempt.token === this.kept.token) this.kept = { token: successor };
  }
}

/** What became of a request: whether the server saw it, and whether the client saw the answer. */
export type Fate = 'answered' | 'request lost' | 'answer lost';

/**
 * What the network may do to such a client: lose requests, lose answers, and deliver a request that was given up later on,
 * or once more, until the client goes on with the successor; without a key also only within the grace of the
 * first attempt. That is no more than any transport allows whose requests do not outlive their connection.
 */
export class Network {
  private readonly delayed: Attempt[] = [];

  constructor(private readonly graceMs: number) {}

  keep(attempt: Attempt): void {
    this.delayed.push(attempt);
  }

  /** The client goes on with a token: what is still under way with earlier ones has run out of time. */
  forgetAllBut(token: string): void {
    const current = this.delayed.filter((attempt) => attempt.token === token);
    this.delayed.splice(0, this.delayed.length, ...current);
  }

  /** One of the requests that may still arrive, if there are any. */
  pick(choice: number, now: number): Attempt | undefined {
    const possible = this.delayed.filter(
      ({ key, begunAt }) => key !== undefined || now <= begunAt + this.graceMs,
    );
    return possible[choice % possible.length];
  }
}

/** A request as the promise sees it: which of the tokens handed out is presented, and what else there is to judge by. */
interface Presented {
  generation: number;
  key: string | undefined;
  now: number;
}

/**
 * The promise about one session, stated exactly: the newest token is replaced; the one before it gets the same successor
 * again within the grace of its replacement, or at any time with the key it was replaced with; whatever else was
 * replaced ends the session when it is presented, and then nothing of it works any more.
 */
export class Promised {
  private newest = 0;
  private replacedAt = 0;
  private replacedWith: string | undefined;
  ended = false;

  constructor(private readonly graceMs: number) {}

  /** The generation that is handed out in answer, or undefined for a refusal. */
  answer({ generation, key, now }: Presented): number | undefined {
    if (this.ended) return undefined;
    if (generation === this.newest) {
      this.newest += 1;
      this.replacedAt = now;
      this.replacedWith = key;
      return this.newest;
    }
    const timely = now <= this.replacedAt + this.graceMs;
    const proven = key !== undefined && key === this.replacedWith;
    if (generation === this.newest - 1 && (timely || proven)) return this.newest;
    this.ended = true;
    return undefined;
  }
}
