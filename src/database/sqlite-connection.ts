import { DatabaseSync, type DatabaseSyncInstance, type StatementSyncInstance } from '@photostructure/sqlite';

/** Milliseconds to wait while another process writes. For the start; in service the door to the database waits. */
const BUSY_TIMEOUT_MS = 5_000;

/**
 * The same when it is closed: the write-ahead log is left behind when another process goes on writing, which is as good. The
 * whole of this process stands still meanwhile, and it is about to end.
 */
const CLOSE_TIMEOUT_MS = 500;

const SQLITE_BUSY = 5;

/** A statement in the form that TypeORM expects of its `better-sqlite3` driver. */
interface Statement {
  /** Whether it returns rows. */
  reader: boolean;
  all(...parameters: never[]): unknown[];
  run(...parameters: never[]): { changes: number | bigint; lastInsertRowid: number | bigint };
}

/**
 * SQLite as TypeORM's `better-sqlite3` driver wants it, over a build that comes whole from the registry: no compiler, no
 * download, the same SQLite on every Node.
 */
export class SqliteConnection {
  private readonly database: DatabaseSyncInstance;

  constructor(file: string) {
    this.database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
    this.enterWalMode();
    // Safe under WAL against a crash of the process; a loss of power may cost the last commits, never the file.
    this.database.exec('PRAGMA synchronous = NORMAL');
  }

  prepare(sql: string): Statement {
    // A transaction that begins as a reader cannot become a writer once another process has written: it fails without
    // waiting. All of ours write.
    const statement = this.database.prepare(sql === 'BEGIN TRANSACTION' ? 'BEGIN IMMEDIATE' : sql);
    if (sql === 'ROLLBACK') return this.forgivingRollback(statement);
    return {
      reader: statement.columns().length > 0,
      all: (...parameters) => statement.all(...parameters.map(whole)) as unknown[],
      run: (...parameters) => statement.run(...parameters.map(whole)),
    };
  }

  pragma(text: string): unknown[] {
    return this.database.prepare(`PRAGMA ${text}`).all();
  }

  exec(sql: string): void {
    this.database.exec(sql);
  }

  close(): void {
    try {
      this.database.exec(`PRAGMA busy_timeout = ${CLOSE_TIMEOUT_MS}`);
      // Leaves everything in the one file, which can then be copied as it is; the write-ahead log beside it is empty.
      this.database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch {
      // A full disk, for one, has no room for it. The log is left behind, which is as good: the next one to open the file reads it.
    } finally {
      this.database.close();
    }
  }

  /** On a full disk SQLite has ended the transaction itself; ending it again would fail, and TypeORM believe it open. */
  private forgivingRollback(rollback: StatementSyncInstance): Statement {
    return {
      reader: false,
      all: () => [],
      run: () => (this.database.isTransaction ? rollback.run() : { changes: 0, lastInsertRowid: 0 }),
    };
  }

  /** Two processes that open a new file at once disturb each other here, and the busy timeout does not apply. */
  private enterWalMode(): void {
    const deadline = performance.now() + BUSY_TIMEOUT_MS;
    for (;;) {
      try {
        this.database.exec('PRAGMA journal_mode = WAL');
        return;
      } catch (error) {
        const busy = ((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY;
        if (!busy || performance.now() > deadline) throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
      }
    }
  }
}

/**
 * The library hands text on up to its first NUL only, so that `jane` would be found by the name `jane\0x`. As bytes it goes
 * whole, and equals no text: nothing that is stored as text may hold a NUL.
 */
function whole(parameter: never): never {
  return typeof parameter === 'string' && (parameter as string).includes('\0')
    ? (Buffer.from(parameter) as never)
    : parameter;
}
