import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSyncInstance } from '@photostructure/sqlite';
import { SqliteConnection } from './sqlite-connection';

describe('a connection to SQLite', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'latchkey-sqlite-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is closed where the disk has no room for what its log holds, and the next one finds all that was written', () => {
    const file = join(folder, 'auth.sqlite');
    const connection = new SqliteConnection(file);
    connection.exec('CREATE TABLE written (value INTEGER)');
    connection.exec('INSERT INTO written VALUES (42)');
    // No disk of ours can be filled without rights.
    const held = connection as unknown as { database: DatabaseSyncInstance };
    const { database } = held;
    const exec = (sql: string): void => {
      if (sql.includes('wal_checkpoint')) throw new Error('database or disk is full');
      database.exec(sql);
    };
    held.database = { exec, close: () => database.close() } as DatabaseSyncInstance;

    connection.close();

    expect(database.isOpen).toBe(false);
    const next = new SqliteConnection(file);
    expect(next.prepare('SELECT value FROM written').all()).toEqual([{ value: 42 }]);
    next.close();
  });
});
