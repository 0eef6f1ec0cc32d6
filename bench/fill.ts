import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { SqliteConnection } from '../src/database/sqlite-connection';
import { fillTables } from '../test/support/many-rows';

/** Fills the database of a service that has been used a little as if it had been used for long, and says how long that took. */
export async function fill(databaseUrl: string, rows: { users: number; sessions: number }): Promise<void> {
  const begun = performance.now();
  await (databaseUrl.startsWith('sqlite:')
    ? fillSqlite(databaseUrl.slice('sqlite:'.length), rows)
    : fillMysql(databaseUrl, rows));
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  console.log(`${rows.users} users and ${rows.sessions} sessions were put in within ${seconds} s\n`);
}

async function fillSqlite(file: string, rows: { users: number; sessions: number }): Promise<void> {
  const connection = new SqliteConnection(file);
  const send = (sql: string, values: unknown[] = []) => {
    const statement = connection.prepare(sql);
    if (statement.reader)
      return Promise.resolve(statement.all(...(values as never[])) as Record<string, unknown>[]);
    statement.run(...(values as never[]));
    return Promise.resolve([]);
  };
  await fillTables(send, { ...rows, analyze: 'ANALYZE' });
  connection.close();
}

async function fillMysql(url: string, rows: { users: number; sessions: number }): Promise<void> {
  const connection = await createConnection({ uri: url, timezone: 'Z' });
  const send = async (sql: string, values: unknown[] = []) =>
    (await connection.query<RowDataPacket[]>(sql, values))[0];
  await fillTables(send, { ...rows, analyze: 'ANALYZE TABLE' });
  await connection.end();
}
