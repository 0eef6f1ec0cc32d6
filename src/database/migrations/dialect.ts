import type { QueryRunner } from 'typeorm';

/** Where the engines' DDL parts ways. Everything else is written once, so that the two schemas cannot drift apart. */
export interface Dialect {
  /** A primary key that counts. */
  counter: (column: string) => string;
  /** What stands behind a table's columns. */
  tableOptions: string;
  /** A named foreign key to the row that this one goes with. */
  ownedBy: (name: string, column: string, table: string) => string;
}

const ownedBy =
  (quote: string): Dialect['ownedBy'] =>
  (name, column, table) => {
    const q = (identifier: string) => quote + identifier + quote;
    return `CONSTRAINT ${q(name)} FOREIGN KEY (${q(column)}) REFERENCES ${q(table)} (${q('id')}) ON DELETE CASCADE ON UPDATE NO ACTION`;
  };

const SQLITE: Dialect = {
  // TypeORM reads counters and the names of foreign keys out of SQLite's DDL, and finds them in just this form, quoted.
  counter: (column) => `"${column}" integer PRIMARY KEY AUTOINCREMENT NOT NULL`,
  tableOptions: '',
  ownedBy: ownedBy('"'),
};

const MYSQL: Dialect = {
  counter: (column) => `\`${column}\` bigint NOT NULL AUTO_INCREMENT PRIMARY KEY`,
  // Binary, so that no collation decides which two names are one.
  tableOptions: 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin',
  ownedBy: ownedBy('`'),
};

export function dialectOf(runner: QueryRunner): Dialect {
  return runner.dataSource.options.type === 'better-sqlite3' ? SQLITE : MYSQL;
}
