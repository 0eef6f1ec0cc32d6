import { DataSource } from 'typeorm';
import { QuietLogger } from '../../src/database/quiet-logger';
import type { TestApp } from './app';
import { onMysql } from './database';

/** A statement as it was sent, with the values that went along. */
export interface Statement {
  sql: string;
  values: unknown[];
}

/** Every statement that the application sends while `work` goes on, in order. What opens and ends transactions is BEGIN and COMMIT. */
export async function statementsDuring(app: TestApp, work: () => Promise<unknown>): Promise<Statement[]> {
  const sent: Statement[] = [];
  const frame = (sql: string) => () => void sent.push({ sql, values: [] });
  const dataSource = app.nest.get(DataSource);
  const quiet = dataSource.logger;
  dataSource.logger = Object.assign(new QuietLogger(), {
    logQuery: (sql: string, values: unknown[] = []) => {
      // The engines' own words for what the subscriber is told; SQLite's are not logged.
      if (!/^(START TRANSACTION|BEGIN|COMMIT|ROLLBACK|SET )/i.test(sql)) sent.push({ sql, values });
    },
  });
  const subscriber = { afterTransactionStart: frame('BEGIN'), afterTransactionCommit: frame('COMMIT') };
  dataSource.subscribers.push(subscriber);
  try {
    await work();
  } finally {
    dataSource.logger = quiet;
    dataSource.subscribers.splice(dataSource.subscribers.indexOf(subscriber), 1);
  }
  return sent;
}

/** One line per table that a statement reads: how, by which index. */
export interface Access {
  table: string;
  /** Whether it looks at every row, or at every entry of an index. */
  scans: boolean;
  /** As the engine puts it. */
  plan: string;
}

/** How the engine would find the rows of a SELECT, UPDATE or DELETE. */
export async function accessesOf(app: TestApp, { sql, values }: Statement): Promise<Access[]> {
  return onMysql ? mysqlPlan(app, sql, values) : sqlitePlan(app, sql, values);
}

async function sqlitePlan(app: TestApp, sql: string, values: unknown[]): Promise<Access[]> {
  const lines = await app.rows<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, values);
  return (
    lines
      .map(({ detail }) => detail)
      // A row that is written into the statement is no table.
      .filter((detail) => /^(SCAN|SEARCH) (?!CONSTANT ROW)/.test(detail))
      .map((plan) => ({ table: plan.split(' ')[1] ?? '', scans: plan.startsWith('SCAN '), plan }))
  );
}

async function mysqlPlan(app: TestApp, sql: string, values: unknown[]): Promise<Access[]> {
  const lines = await app.rows<Record<'table' | 'type' | 'key' | 'Extra', string | null>>(
    `EXPLAIN ${sql}`,
    values,
  );
  return lines
    .filter(({ table }) => table !== null && !table.startsWith('<'))
    .map(({ table, type, key, Extra }) => ({
      table: table ?? '',
      // ALL reads the table, index the whole of an index. No type: there is no such row, or no table to look at.
      scans: type === 'ALL' || type === 'index',
      plan: `${type} by ${key} (${Extra})`,
    }));
}
