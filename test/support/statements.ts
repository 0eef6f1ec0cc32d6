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

/** Milliseconds that a transaction took, and until the next one began. */
export interface Turn {
  worked: number;
  paused: number;
}

/** Every transaction that the application commits while `work` goes on, but for the last. */
export async function turnsDuring(app: TestApp, work: () => Promise<unknown>): Promise<Turn[]> {
  const turns: { begun: number; ended: number }[] = [];
  const subscriber = {
    afterTransactionStart: () => void turns.push({ begun: performance.now(), ended: NaN }),
    afterTransactionCommit: () => void Object.assign(turns.at(-1) ?? {}, { ended: performance.now() }),
  };
  const { subscribers } = app.nest.get(DataSource);
  subscribers.push(subscriber);
  await work().finally(() => subscribers.splice(subscribers.indexOf(subscriber), 1));
  return turns.slice(1).map(({ begun }, index) => {
    const before = turns[index] as (typeof turns)[number];
    return { worked: before.ended - before.begun, paused: begun - before.ended };
  });
}

/** One line per table that a statement reads: how, by which index. */
export interface Access {
  table: string;
  /** Whether it looks at every row, or at every entry of an index. */
  scans: boolean;
  /** Whether it finds one row at most for each value asked for, by the whole of a primary key or of a unique index. */
  unique: boolean;
  index: string;
  /** As the engine puts it. */
  plan: string;
}

/** How the engine would find the rows of a SELECT, UPDATE or DELETE, or of the SELECT in an INSERT. */
export async function accessesOf(app: TestApp, { sql, values }: Statement): Promise<Access[]> {
  return onMysql ? mysqlPlan(app, sql, values) : sqlitePlan(app, sql, values);
}

/** Whether a statement looks for rows. The INSERT of given values does not. */
export function searches({ sql }: Statement): boolean {
  return /^\s*(SELECT|UPDATE|DELETE|INSERT[\s\S]*\bSELECT)\b/i.test(sql);
}

/** A SELECT of what an UPDATE or DELETE would change: of the latter MySQL never says that a key leads it to one row only. */
export function withoutChange({ sql, values }: Statement): Statement {
  const update = /^\s*(?:UPDATE|DELETE FROM) (\S+)\s[\s\S]*?\bWHERE\b([\s\S]*)$/i.exec(sql);
  if (!update) return { sql, values };
  const [, table, condition = ''] = update;
  const places = condition.split('?').length - 1;
  return {
    sql: `SELECT 1 FROM ${table} WHERE ${condition}`,
    values: values.slice(values.length - places),
  };
}

async function sqlitePlan(app: TestApp, sql: string, values: unknown[]): Promise<Access[]> {
  const lines = await app.rows<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, values);
  const unique = await app.rows<{ name: string }>(
    `SELECT i.name AS name FROM sqlite_master m JOIN pragma_index_list(m.name) i
     WHERE m.type = 'table' AND i."unique" = 1`,
  );
  return (
    lines
      .map(({ detail }) => detail)
      // A row that is written into the statement is no table.
      .filter((detail) => /^(SCAN|SEARCH) (?!CONSTANT ROW|once\b)/.test(detail))
      .map((plan) => {
        const [, index = '', terms] = /INDEX (\w+) (\(.*\))/.exec(plan) ?? [];
        return {
          table: plan.split(' ')[1] ?? '',
          scans: plan.startsWith('SCAN '),
          // All our unique indexes are of one column.
          unique: /^\(\w+=\?\)$/.test(terms ?? '') && unique.some(({ name }) => name === index),
          index,
          plan,
        };
      })
  );
}

async function mysqlPlan(app: TestApp, sql: string, values: unknown[]): Promise<Access[]> {
  const lines = await app.rows<Record<'table' | 'type' | 'key' | 'Extra' | 'rows', string | null>>(
    `EXPLAIN ${sql}`,
    values,
  );
  // A list of values is a range to it, even where each of them is looked up by itself.
  const isList = ({ type, key, rows }: (typeof lines)[number]) =>
    /\bIN \((\?, )*\?\)\s*$/.test(sql) &&
    type === 'range' &&
    key === 'PRIMARY' &&
    Number(rows) <= values.length;
  return (
    lines
      // Without a table: what was looked up by unique keys, a table that is called const, is not as the statement wants it.
      .filter(({ table, Extra }) =>
        table === null ? / const table/.test(Extra ?? '') : !table.startsWith('<'),
      )
      .map((line) => {
        const { table, type, key, Extra } = line;
        return {
          table: table ?? '',
          // ALL reads the table, index the whole of an index.
          scans: type === 'ALL' || type === 'index',
          unique: table === null || type === 'const' || type === 'eq_ref' || isList(line),
          index: key ?? '',
          plan: `${type} by ${key} (${Extra})`,
        };
      })
  );
}
