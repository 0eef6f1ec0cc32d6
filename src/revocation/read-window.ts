import { LONGEST_TRANSACTION_MS } from '../database/transactions';
import type { RevocationEntry } from './revocation-entry.entity';

/**
 * How late a line may come, in milliseconds. Its position is given at insertion, its commit may come as much later as a
 * transaction may last; the rest is for a commit that was on its way when the time was up.
 */
export const LATEST_MS = 2 * LONGEST_TRANSACTION_MS;

/** A poll that has read all there was, in monotonic milliseconds. */
export interface FinishedPoll {
  /** When it had asked the database. */
  asked: number;
  /** When it was through. */
  through: number;
  /** How far it had read. */
  position: number;
}

/**
 * How far the lines of the feed have been read, and which were read where others may still come late: a line has its position
 * from its insertion and is seen from its commit, up to `LATEST_MS` later.
 */
export class ReadWindow {
  /** The first is the one behind which lines are counted again, once it is old enough. */
  private polls: FinishedPoll[] = [];
  /** When the lines end that were read behind the first poll, in milliseconds, by their positions. */
  private readonly seen = new Map<number, number>();

  /** How far the lines have been read. */
  get newest(): number {
    return this.polls.at(-1)?.position ?? 0;
  }

  /**
   * The position after which lines must be counted again: how far the newest poll had read that was through `LATEST_MS` before the
   * last one asked; what came later up to there, that last poll has counted. 0, everything that has not expired, until there is
   * such a poll.
   */
  get settled(): number {
    const [oldest] = this.polls;
    return oldest && this.isSettled(oldest) ? oldest.position : 0;
  }

  /** How many lines were read behind a position that is settled or later, of those that end later than that. */
  countSeen(position: number, endingAfter: Date): number {
    let count = 0;
    for (const [seen, end] of this.seen) if (seen > position && end > endingAfter.getTime()) count += 1;
    return count;
  }

  /**
   * Notes a line that was read.
   *
   * @returns whether it was not read before
   */
  add({ position, expiresAt }: Pick<RevocationEntry, 'position' | 'expiresAt'>): boolean {
    const number = Number(position);
    if (this.seen.has(number)) return false;
    this.seen.set(number, expiresAt.getTime());
    return true;
  }

  /** Notes that a poll has come to its end, and forgets the lines that it has settled. */
  advance(poll: FinishedPoll): void {
    this.polls.push(poll);
    while (this.polls[1] && this.isSettled(this.polls[1])) this.polls.shift();
    const { settled } = this;
    for (const position of this.seen.keys()) if (position <= settled) this.seen.delete(position);
  }

  /** As if nothing had been read. */
  clear(): void {
    this.polls = [];
    this.seen.clear();
  }

  /** Whether no line can come any more up to where that poll had read. */
  private isSettled({ through }: FinishedPoll): boolean {
    const last = this.polls.at(-1);
    return last !== undefined && through <= last.asked - LATEST_MS;
  }
}
