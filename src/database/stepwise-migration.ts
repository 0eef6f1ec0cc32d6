import { setTimeout as delay } from 'node:timers/promises';
import type { PoolConnection } from 'mysql2';
import { QueryFailedError, type QueryRunner } from 'typeorm';
import { StartError } from '../core/start-error';
import { isLocked } from './failures';
import { dialectOf } from './migrations/dialect';

/** What a statement adds to the schema. It is there wholly or not at all, since each engine's DDL is atomic. */
interface Addition {
  kind: 'table' | 'index' | 'column';
  table: string;
  name: string;
}

/** How often a statement is tried whose table somebody else holds, and the milliseconds in between: five minutes in all. */
const LOCK_TRIES = 150;
const LOCK_PAUSE_MS = 1_000;

const ADDS_TABLE = /^CREATE TABLE (\w+) /;
const ADDS_INDEX = /^CREATE (?:UNIQUE )?INDEX (\w+) ON (\w+) /;
const ADDS_COLUMN = /^ALTER TABLE (\w+) ADD COLUMN (\w+) /;
const CHANGES_ROWS = /^(?:INSERT|UPDATE|DELETE) /;

const NAMES_OF: Record<Addition['kind'], string> = {
  table: 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()',
  index:
    'SELECT index_name AS name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = ?',
  column:
    'SELECT column_name AS name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?',
};

/**
 * Runs one migration on MySQL, where each DDL statement commits by itself, so that it can be cut short at any moment and goes
 * on at the next start. The number of the statement that is begun stands in the table `migration_under_way`. It is written in
 * a transaction with the statement: one that changes rows commits with it, and DDL commits it before it does anything else.
 * So all before that number are done, and whether that one is, its addition tells: it was looked for before and was not there.
 *
 * A statement is known by its number, so a migration sends the same ones each time, whatever it finds.
 */
export class StepwiseMigration {
  private step = 0;
  private begun = 0;

  constructor(
    private readonly name: string,
    private readonly runner: QueryRunner,
    private readonly stop: AbortSignal | undefined,
  ) {}

  /** Leaves a transaction open in which TypeORM notes that the migration is done: from then on it is not under way. */
  async run(up: (runner: QueryRunner) => Promise<void>): Promise<void> {
    this.begun = await this.readBegun();
    const query = (sql: string) => this.take(sql);
    await up(Object.create(this.runner, { query: { value: query } }) as QueryRunner);
    await this.runner.query('START TRANSACTION');
    await this.runner.query('DELETE FROM migration_under_way WHERE name = ?', [this.name]);
  }

  private async readBegun(): Promise<number> {
    await refuseOthersTable(this.runner, 'migration_under_way', ['name', 'statement']);
    await this.runner.query(`CREATE TABLE IF NOT EXISTS migration_under_way (
      name varchar(255) NOT NULL PRIMARY KEY,
      statement integer NOT NULL
    ) ${dialectOf(this.runner).tableOptions}`);
    const rows = (await this.runner.query('SELECT statement FROM migration_under_way WHERE name = ?', [
      this.name,
    ])) as { statement: number }[];
    return rows[0]?.statement ?? 0;
  }

  private async take(sql: string): Promise<void> {
    this.step += 1;
    if (this.step < this.begun) return;
    const addition = additionOf(sql);
    const isThere = addition !== undefined && (await this.has(addition));
    if (this.step === this.begun && (isThere || addition === undefined)) return;
    if (isThere) throw new StartError(describeStranger(this.name, addition));
    this.stop?.throwIfAborted();
    await this.execute(sql);
  }

  /** Gives way to those who have come to the table meanwhile, each time that somebody's open transaction keeps it from its turn. */
  private async execute(sql: string): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.tryOnce(sql);
      } catch (error) {
        if (!isLocked(error)) throw error;
        if (tries === LOCK_TRIES) throw new StartError(describeHolder(this.name), error);
      }
      await delay(LOCK_PAUSE_MS);
      this.stop?.throwIfAborted();
    }
  }

  private async tryOnce(sql: string): Promise<void> {
    await this.runner.query('START TRANSACTION');
    await this.note(this.step);
    try {
      await this.runUnbounded(sql);
    } catch (error) {
      // Where the connection is gone the server has undone it by itself, and what was lost first is what there is to say.
      await this.undo().catch(() => undefined);
      throw error;
    }
    await this.runUnbounded('COMMIT');
  }

  /** What has been refused is not begun: else something of that name which others make now would be taken for ours. */
  private async undo(): Promise<void> {
    await this.runUnbounded('ROLLBACK');
    await this.note(this.step - 1);
  }

  /** Without TypeORM's limit, which is one for all statements: to change a large table takes hours. */
  private async runUnbounded(sql: string): Promise<void> {
    const connection = (await this.runner.connect()) as PoolConnection;
    try {
      await connection.promise().query(sql);
    } catch (error) {
      throw new QueryFailedError(sql, undefined, error as Error);
    }
  }

  private note(step: number): Promise<unknown> {
    return this.runner.query('REPLACE INTO migration_under_way (name, statement) VALUES (?, ?)', [
      this.name,
      step,
    ]);
  }

  private async has({ kind, table, name }: Addition): Promise<boolean> {
    return (await namesOf(this.runner, kind, table)).includes(name);
  }
}

/**
 * @param columns that a table of ours of that name has
 * @throws StartError when there is such a table, and another application has made it
 */
export async function refuseOthersTable(
  runner: QueryRunner,
  table: string,
  columns: string[],
): Promise<void> {
  const found = await namesOf(runner, 'column', table);
  if (found.length > 0 && !columns.every((column) => found.includes(column))) {
    throw new StartError(
      `The database has a table '${table}' of another application; give the service a database of its own in DATABASE_URL.`,
    );
  }
}

async function namesOf(runner: QueryRunner, kind: Addition['kind'], table: string): Promise<string[]> {
  const parameters = kind === 'table' ? [] : [table];
  const rows = (await runner.query(NAMES_OF[kind], parameters)) as { name: string }[];
  return rows.map(({ name }) => name);
}

/** @returns undefined for a statement that changes rows */
function additionOf(sql: string): Addition | undefined {
  const [, table] = ADDS_TABLE.exec(sql) ?? [];
  if (table !== undefined) return { kind: 'table', table, name: table };
  const [, index, indexed] = ADDS_INDEX.exec(sql) ?? [];
  if (index !== undefined && indexed !== undefined) return { kind: 'index', table: indexed, name: index };
  const [, changed, column] = ADDS_COLUMN.exec(sql) ?? [];
  if (changed !== undefined && column !== undefined) return { kind: 'column', table: changed, name: column };
  if (!CHANGES_ROWS.test(sql)) throw new Error(`No migration can go on behind this statement: ${sql}`);
  return undefined;
}

function describeHolder(migration: string): string {
  return `Somebody has held a table of the database that ${migration} changes in an open transaction for five minutes, as a dump does; end that (SHOW PROCESSLIST names it), then start again: what has been done so far is kept.`;
}

function describeStranger(migration: string, { kind, table, name }: Addition): string {
  const what = kind === 'table' ? `${kind} '${name}'` : `${kind} '${name}' of table '${table}'`;
  return `The database has the ${what} already, which was not made by ${migration}, the migration that makes it; give the service a database of its own in DATABASE_URL, or remove what is in the way if nobody needs it.`;
}
