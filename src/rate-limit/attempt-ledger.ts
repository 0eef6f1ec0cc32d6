import { AsyncResource } from 'node:async_hooks';
import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { Clock } from '../core/clock';
import { Deadline } from '../core/deadline';
import { addSeconds } from '../core/instant';
import { REQUEST_BUDGET_MS, withBudget } from '../core/request-budget';
import { isUniqueViolation } from '../database/failures';
import { findOne, insertOne } from '../database/rows';
import { execute } from '../database/sql';
import { Transactions } from '../database/transactions';
import { type Attempts, NO_ATTEMPTS } from './attempt-rule';
import { PasswordAttemptsRow } from './password-attempts.entity';

/** What a change makes of what was there, and what the caller wants to know; the same `attempts` if it changes nothing. */
export interface Decision<T> {
  attempts: Attempts;
  outcome: T;
}

/** What undoes a change that was decided so; undefined where nothing was changed. */
export type TakeBack<T> = (outcome: T) => ((before: Attempts) => Attempts) | undefined;

/**
 * What becomes of a change whose asker has no time left, or had none to begin with: it is made all the same; or it is dropped, and where it
 * was decided already, taken back as soon as it has been made.
 */
export type WhenLate<T> = 'made all the same' | TakeBack<T>;

/** One who waits for his turn. */
interface Turn {
  /** The request's context: the round runs in that of the last one, so that its spans have a parent. */
  scope: AsyncResource;
  decide: (before: Attempts) => Decision<unknown>;
  tell: (outcome: unknown) => void;
  reject: (error: unknown) => void;
  isDropped: boolean;
}

/** Seconds that a failure is remembered at most, over all limits. */
export const REMEMBERED_SECONDS = 24 * 3600;

/** Rows of which an instance remembers what it wrote last. */
export const MOST_WRITTEN = 1_000;

/**
 * For how many milliseconds: somewhat more than a login waits for its hash. Far less than the hour for which a row outlives
 * its end, or one that was made anew could have the version that is remembered.
 */
export const WRITTEN_FOR_MS = 10_000;

/**
 * Keeps attempts in the database, where an account lives as well: a login needs the database anyway, so nothing can be lost
 * that would leave an account open, and every instance counts the same. A change is written only over the version that it
 * was decided upon; else it is decided again. Whoever comes to the same row in this process while another is under way is
 * served with all the others in one read at most and one write, so that a flood on one name costs the database next to nothing.
 */
@Injectable()
export class AttemptLedger {
  private readonly waiting = new Map<string, Turn[]>();
  /** What was written last by this process, which another may have changed since. It saves the second look of each login. */
  private readonly lastWritten: LRUCache<string, PasswordAttemptsRow>;

  constructor(
    private readonly transactions: Transactions,
    private readonly clock: Clock,
  ) {
    // By the clock that rows are removed by: the other one stands still while the machine sleeps.
    const perf = { now: () => clock.now().getTime() };
    this.lastWritten = new LRUCache({ max: MOST_WRITTEN, ttl: WRITTEN_FOR_MS, ttlResolution: 0, perf });
  }

  /**
   * Has `decide` change what is remembered under `id`. It may be called several times, and must have no other effect. Nobody
   * waits longer than he has time, whoever else's round is under way.
   *
   * @throws ApiError `service_unavailable`
   */
  change<T>(id: string, decide: (before: Attempts) => Decision<T>, whenLate: WhenLate<T>): Promise<T> {
    if (whenLate === 'made all the same') {
      const outcome = this.makeAllTheSame(id, decide);
      return Deadline.ofRequest(this.clock, REQUEST_BUDGET_MS, () => outcome);
    }
    return Deadline.ofRequest(
      this.clock,
      REQUEST_BUDGET_MS,
      (deadline) =>
        new Promise<T>((resolve, reject) => {
          const turn: Turn = {
            ...{ scope: new AsyncResource('latchkey:attempt'), decide, reject, isDropped: false },
            tell: (outcome) =>
              turn.isDropped ? this.takeBack(id, whenLate(outcome as T)) : resolve(outcome as T),
          };
          deadline.onExpiry(() => void (turn.isDropped = true));
          this.enqueue(id, turn);
        }),
    );
  }

  private makeAllTheSame<T>(id: string, decide: (before: Attempts) => Decision<T>): Promise<T> {
    const outcome = new Promise<T>((resolve, reject) => {
      const scope = new AsyncResource('latchkey:attempt');
      const tell = (decided: unknown) => resolve(decided as T);
      this.enqueue(id, { scope, decide, tell, reject, isDropped: false });
    });
    // Whoever has no time left is told so, and nobody of what becomes of it then.
    outcome.catch(() => undefined);
    return outcome;
  }

  private takeBack(id: string, change: ((before: Attempts) => Attempts) | undefined): void {
    if (!change) return;
    void this.makeAllTheSame(id, (before) => ({ attempts: change(before), outcome: undefined }));
  }

  private enqueue(id: string, turn: Turn): void {
    const others = this.waiting.get(id);
    if (others) {
      others.push(turn);
    } else {
      this.waiting.set(id, [turn]);
      void this.serve(id);
    }
  }

  /** Serves all who have come meanwhile, until nobody has. */
  private async serve(id: string): Promise<void> {
    for (let turns = this.take(id); turns.length > 0; turns = this.take(id)) {
      try {
        const { scope } = turns.at(-1) as Turn;
        // With time of its own: of those who are served together, any one may have next to none left.
        const tellAll = await scope.runInAsyncScope(() =>
          withBudget(REQUEST_BUDGET_MS, () => this.decideAll(id, turns)),
        );
        for (const tell of tellAll) tell();
      } catch (error) {
        for (const { reject } of turns) reject(error);
      }
    }
    this.waiting.delete(id);
  }

  private take(id: string): Turn[] {
    const turns = this.waiting.get(id)?.splice(0) ?? [];
    return turns.filter(({ isDropped }) => !isDropped);
  }

  /** @returns what tells each of his outcome */
  private async decideAll(id: string, turns: readonly Turn[]): Promise<(() => void)[]> {
    let remembered = this.lastWritten.get(id);
    for (;;) {
      const row =
        remembered ?? (await this.transactions.read((tx) => findOne(tx, PasswordAttemptsRow, 'id', id)));
      const before = row ? toAttempts(row) : NO_ATTEMPTS;
      let attempts = before;
      const wanted = turns.filter(({ isDropped }) => !isDropped);
      if (wanted.length === 0) return [];
      const tellAll = wanted.map(({ decide, tell }) => {
        const decision = decide(attempts);
        attempts = decision.attempts;
        return () => tell(decision.outcome);
      });
      // What changes nothing is not checked by a write, so it must have been read.
      const holds = attempts === before ? !remembered : await this.write(id, row?.version, attempts);
      if (holds) return tellAll;
      remembered = undefined;
    }
  }

  /** @returns whether what it was decided upon still stood there */
  private async write(id: string, version: number | undefined, attempts: Attempts): Promise<boolean> {
    const latest = attempts.evaluated.at(-1);
    const row: PasswordAttemptsRow = {
      id,
      evaluated: attempts.evaluated.join(','),
      inARow: attempts.inARow,
      version: (version ?? 0) + 1,
      // Never in the past: a row that is removed between somebody's read and write would begin its versions anew.
      endsAt:
        latest === undefined ? this.clock.now() : addSeconds(new Date(latest * 1000), REMEMBERED_SECONDS),
    };
    // Whether a write that fails was done is not known.
    this.lastWritten.delete(id);
    const stood = version === undefined ? await this.insert(row) : await this.replace(row);
    if (stood) this.lastWritten.set(id, row);
    return stood;
  }

  private async replace({ id, evaluated, inARow, endsAt, version }: PasswordAttemptsRow): Promise<boolean> {
    const matched = await this.transactions.statement((tx) =>
      execute(
        tx,
        `UPDATE password_attempts SET evaluated = ?, in_a_row = ?, ends_at = ?, version = ?
         WHERE id = ? AND version = ?`,
        [evaluated, inARow, endsAt, version, id, version - 1],
      ),
    );
    return matched === 1;
  }

  private async insert(row: PasswordAttemptsRow): Promise<boolean> {
    try {
      // In the form of `replace`: how long the first guess takes must not tell a name that is in use from one that nobody has.
      await this.transactions.statement((tx) => insertOne(tx, PasswordAttemptsRow, row));
      return true;
    } catch (error) {
      if (isUniqueViolation(error)) return false;
      throw error;
    }
  }
}

function toAttempts({ evaluated, inARow }: PasswordAttemptsRow): Attempts {
  return { evaluated: evaluated === '' ? [] : evaluated.split(',').map(Number), inARow };
}
