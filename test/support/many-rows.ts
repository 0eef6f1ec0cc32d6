type Row = Record<string, unknown>;

/** Rows per statement: SQLite takes 32,766 values at most. */
const BATCH_SIZE = 500;

/** How the copies of a row are told apart. Every table that grows with use, parents first. */
const COPIES: Record<string, (row: Row, number: string, user: string) => Row> = {
  users: (row, number) => ({
    ...row,
    ...{
      id: `user_${number}`,
      username: number,
      username_canonical: number,
      email: number,
      email_canonical: number,
    },
  }),
  sessions: (row, number, user) => ({
    ...row,
    id: `sess_${number}`,
    user_id: `user_${user}`,
    revoked_at: null,
  }),
  api_keys: (row, number) => ({ ...row, id: `key_${number}`, user_id: `user_${number}` }),
  api_key_secrets: (row, number) => ({ ...row, hash: number, key_id: `key_${number}` }),
  revocation_entries: (row, number) => ({
    ...row,
    position: 10_000_000 + Number(number),
    subject_id: `sess_${number}`,
  }),
  audit_events: (row, number) => ({
    ...row,
    id: `evt_${number}`,
    user_id: `user_${number}`,
    sequence: 10_000_000 + Number(number),
  }),
  password_attempts: (row, number) => ({ ...row, id: number }),
  limit_counters: (row, number) => ({ ...row, id: number }),
};

/** Instants of the copies: long after whatever a test calls now, so that none of them is dead. */
const FAR_FUTURE: Row = {
  idle_ends_at: '2039-01-01 00:00:00.000',
  expires_at: '2039-01-01 00:00:00.000',
  ends_at: '2039-01-01 00:00:00.000',
};

/** Sends a statement, and answers the rows of a SELECT. */
type Send = (sql: string, values?: unknown[]) => Promise<Row[]>;

/**
 * Makes every table that grows with use as long as in a service that has been used, from one row that it has. Sessions are
 * spread over the users.
 *
 * @returns which tables there was a row of
 */
export async function fillTables(
  send: Send,
  { users, sessions, analyze }: { users: number; sessions: number; analyze: string },
): Promise<string[]> {
  const filled: string[] = [];
  for (const [table, copy] of Object.entries(COPIES)) {
    const [row] = await send(`SELECT * FROM ${table} LIMIT 1`);
    if (!row) continue;
    filled.push(table);
    const columns = Object.keys(row);
    const future = Object.fromEntries(Object.entries(FAR_FUTURE).filter(([name]) => columns.includes(name)));
    const count = table === 'sessions' ? sessions : users;
    for (let start = 0; start < count; start += BATCH_SIZE) {
      const numbers = Array.from(
        { length: Math.min(BATCH_SIZE, count - start) },
        (_, index) => start + index,
      );
      const rows = numbers.map((number) =>
        copy({ ...row, ...future }, digits(number), digits(number % users)),
      );
      await insert(send, table, columns, rows);
    }
    // The engine decides by what it believes of a table.
    await send(`${analyze} ${table}`);
  }
  return filled;
}

const digits = (number: number) => String(number).padStart(8, '0');

async function insert(send: Send, table: string, columns: string[], rows: Row[]): Promise<void> {
  const places = `(${columns.map(() => '?').join(', ')})`;
  await send(
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES ${rows.map(() => places).join(', ')}`,
    rows.flatMap((row) => columns.map((column) => row[column])),
  );
}
