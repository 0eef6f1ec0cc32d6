import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager, QueryFailedError, type QueryRunner } from 'typeorm';
import { Clock } from '../core/clock';
import { Deadline } from '../core/deadline';
import { ApiError } from '../core/errors';
import { Metrics } from '../core/metrics';
import { type SpanAttributes, Tracing } from '../core/tracing';
import { AccountLines } from './account-lines';
import { ConnectionQueue } from './connection-queue';
import { ConnectionUse } from './connection-use';
import { QUEUE_LIMIT } from './data-source-options';
import { isBusy, isDeadlock, isReadOnly, isTimeout, isUniqueViolation } from './failures';
import { cutOff } from './mysql-connection';

/**
 * Milliseconds a transaction may take. One that takes longer is rolled back, so that whoever reads in the order of
 * insertion knows how long to look back for late commits.
 */
export const LONGEST_TRANSACTION_MS = 5_000;

/** How often a transaction is run again that the engine undid because of a deadlock. */
const DEADLOCK_RETRIES = 5;

/** Milliseconds until SQLite is asked again that another process is writing to. */
const BUSY_RETRY_MS = 5;

/** What to do once the transaction behind an `EntityManager` has committed. */
const effects = new WeakMap<EntityManager, (() => void)[]>();

/**
 * Has `effect` run as soon as the transaction has committed, before `run` returns; never, if it does not commit. For
 * what this process must know at once: it must be quick and must not fail.
 */
export function afterCommit(tx: EntityManager, effect: () => void): void {
  const list = effects.get(tx);
  if (!list) throw new Error('Not inside a transaction');
  list.push(effect);
}

/** A unit of work: its helpers take the `EntityManager` on as their first parameter and open none of their own. */
export type Work<T> = (tx: EntityManager) => Promise<T>;

/** How a unit of work comes to its turn. */
type Wait<T> = (unit: () => Promise<T>, deadline: Deadline) => Promise<T>;

/**
 * The only way into the database for the running service. Commands that must not migrate look through `ReadOnlyView`.
 *
 * As many units of work pass at a time as there are connections. On SQLite that is one: TypeORM's driver shares it, and overlapping
 * transactions on it corrupt each other. Units that name the same account wait for each other before they wait for a connection.
 * Trouble of the engine comes out as `service_unavailable`; a violated unique index comes out as it is, for the caller to name.
 */
@Injectable()
export class Transactions {
  private readonly inside = new AsyncLocalStorage<true>();
  private readonly queue: ConnectionQueue;
  private readonly accounts = new AccountLines();
  private readonly readers = new AccountLines();
  private readonly connections: ConnectionUse;
  private readonly spanAttributes: SpanAttributes;

  constructor(
    private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly tracing: Tracing,
    metrics: Metrics,
  ) {
    const { type, poolSize = 1 } = dataSource.options;
    const onSqlite = type === 'better-sqlite3';
    this.queue = new ConnectionQueue(poolSize, QUEUE_LIMIT);
    this.connections = new ConnectionUse(metrics, poolSize);
    this.spanAttributes = { 'db.system.name': onSqlite ? 'sqlite' : type };
  }

  /**
   * Runs several statements, all or nothing. The work may be run again from the start after a deadlock, so it must
   * change nothing but the database; it must not hash, send or wait.
   *
   * @throws ApiError `service_unavailable` when the database is in trouble
   */
  run<T>(work: Work<T>): Promise<T> {
    return this.enter('transaction', (deadline) => this.undividedly(work, deadline));
  }

  /**
   * Runs several statements, all or nothing, of which one takes the row of `account`, or of a session or key of it, for which
   * others may wait as well. In this process one such unit of an account passes at a time, so that none holds a connection
   * while it could only wait for another. What holds in the database is still the row's lock: there are other instances.
   *
   * @throws ApiError `service_unavailable` when the database is in trouble, or too many of the account come at once
   */
  runFor<T>(account: string, work: Work<T>): Promise<T> {
    return this.enter(
      'transaction',
      (deadline) => this.undividedly(work, deadline),
      (unit, deadline) => this.accounts.pass(account, deadline, () => this.queue.push(unit)),
    );
  }

  /**
   * Runs reads. Each sees what was committed when it began.
   *
   * @throws ApiError `service_unavailable` when the database is in trouble
   */
  read<T>(work: Work<T>): Promise<T> {
    return this.enter('read', (deadline) => this.readOn(work, deadline));
  }

  /**
   * Runs reads of many rows of one account. In this process one such unit of an account passes at a time, so that nobody fills the
   * queue for a connection by asking for his own again and again. No change of the account waits for it.
   *
   * @throws ApiError `service_unavailable` as `runFor` does
   */
  readFor<T>(account: string, work: Work<T>): Promise<T> {
    return this.enter(
      'read',
      (deadline) => this.readOn(work, deadline),
      (unit, deadline) => this.readers.pass(account, deadline, () => this.queue.push(unit)),
    );
  }

  /**
   * Runs reads before everybody who waits for a connection, however many they are: what decides whether their tokens are good.
   *
   * @throws ApiError `service_unavailable` when the database is in trouble
   */
  readFirst<T>(work: Work<T>): Promise<T> {
    return this.enter(
      'read',
      (deadline) => this.readOn(work, deadline),
      (unit) => this.queue.pushFirst(unit),
    );
  }

  /**
   * Runs one writing statement that commits by itself: half the cost of a transaction around it. After a deadlock it is run again.
   *
   * @throws ApiError `service_unavailable` when the database is in trouble
   */
  statement<T>(work: Work<T>): Promise<T> {
    return this.enter('statement', (deadline) =>
      this.retryDeadlocks(deadline, (runner) => work(runner.manager)),
    );
  }

  /** A request's unit of work has what is left of the request's time; any other as long as a transaction may take. */
  private async enter<T>(
    kind: 'read' | 'statement' | 'transaction',
    unit: (deadline: Deadline) => Promise<T>,
    wait: Wait<T> = (turn) => this.queue.push(turn),
  ): Promise<T> {
    if (this.inside.getStore()) {
      throw new Error('A unit of work is open already: hand its tx on instead of opening another');
    }
    let hadTurn = false;
    const takeTurn = (deadline: Deadline) => {
      hadTurn = true;
      return this.inside.run(true, () => unit(deadline));
    };
    try {
      return await this.tracing.span(`database ${kind}`, this.spanAttributes, () =>
        Deadline.ofRequest(this.clock, LONGEST_TRANSACTION_MS, (deadline) =>
          this.inTurn(() => takeTurn(deadline), deadline, wait),
        ),
      );
    } catch (error) {
      this.connections.noteFailure(error, hadTurn);
      throw error;
    }
  }

  private async inTurn<T>(unit: () => Promise<T>, deadline: Deadline, wait: Wait<T>): Promise<T> {
    this.connections.arrive();
    try {
      return await wait(() => this.waitForOthers(unit, deadline), deadline);
    } finally {
      this.connections.leave();
    }
  }

  /** Runs a unit again as long as another process writes to the file: then none of it has been done. */
  private async waitForOthers<T>(unit: () => Promise<T>, deadline: Deadline): Promise<T> {
    for (;;) {
      try {
        return await unit();
      } catch (error) {
        if (!(error instanceof ApiError && isBusy(error.cause))) throw error;
        deadline.throwIfExpired();
        await delay(BUSY_RETRY_MS);
      }
    }
  }

  private readOn<T>(work: Work<T>, deadline: Deadline): Promise<T> {
    return this.onConnection(deadline, (runner) => work(runner.manager));
  }

  private undividedly<T>(work: Work<T>, deadline: Deadline): Promise<T> {
    return this.retryDeadlocks(deadline, (runner) => this.inTransaction(runner, work, deadline));
  }

  private async retryDeadlocks<T>(deadline: Deadline, use: (runner: QueryRunner) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.onConnection(deadline, use);
      } catch (error) {
        const deadlock = error instanceof ApiError && isDeadlock(error.cause);
        if (!deadlock || attempt > DEADLOCK_RETRIES) throw error;
        await delay(attempt * 5);
      }
    }
  }

  private async inTransaction<T>(runner: QueryRunner, work: Work<T>, deadline: Deadline): Promise<T> {
    const begun = this.clock.monotonic();
    const pending: (() => void)[] = [];
    effects.set(runner.manager, pending);
    try {
      await begin(runner);
      const result = await work(runner.manager);
      if (this.clock.monotonic() - begun > LONGEST_TRANSACTION_MS) {
        throw new ApiError('service_unavailable', { cause: new Error('The transaction took too long') });
      }
      deadline.throwIfExpired();
      await runner.commitTransaction();
      for (const effect of pending) effect();
      return result;
    } catch (error) {
      await this.rollBack(runner);
      throw error;
    } finally {
      effects.delete(runner.manager);
    }
  }

  /** A connection whose transaction cannot be ended is not given to anybody else. */
  private async rollBack(runner: QueryRunner): Promise<void> {
    if (!runner.isTransactionActive) return;
    try {
      await runner.rollbackTransaction();
    } catch {
      await discard(runner);
    }
  }

  private async onConnection<T>(deadline: Deadline, use: (runner: QueryRunner) => Promise<T>): Promise<T> {
    deadline.throwIfExpired();
    const runner = this.dataSource.createQueryRunner();
    try {
      await runner.connect();
    } catch (cause) {
      throw new ApiError('service_unavailable', { cause });
    }
    this.connections.take();
    // What is lost already need not be given up.
    const undo = deadline.onExpiry(() => void discard(runner).catch(() => undefined));
    try {
      deadline.throwIfExpired();
      return await use(runner);
    } catch (error) {
      if (!(error instanceof QueryFailedError) || isUniqueViolation(error)) throw error;
      // The next connection may lead to the server that has taken the place of one that can only be read.
      if (isTimeout(error) || isReadOnly(error)) await discard(runner);
      throw new ApiError('service_unavailable', { cause: error });
    } finally {
      this.connections.giveBack();
      undo();
      await runner.release();
    }
  }
}

/**
 * TypeORM takes a transaction that could not begin for one that has. On SQLite, where all units share what it believes, no
 * other would ever begin after it.
 */
export async function begin(runner: QueryRunner): Promise<void> {
  try {
    await runner.startTransaction();
  } catch (error) {
    Object.assign(runner, { isTransactionActive: false });
    throw error;
  }
}

/** Its connection is not used again by anybody. */
export async function discard(runner: QueryRunner): Promise<void> {
  cutOff((await runner.connect()) as Parameters<typeof cutOff>[0]);
}
