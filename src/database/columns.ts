import type { ColumnOptions } from 'typeorm';

/** A TypeID: prefix, underscore, 26 characters. */
export const ID = { type: 'varchar', length: 40 } as const satisfies ColumnOptions;

/** An instant in UTC, milliseconds, always assigned by the application: engines differ in what their own clocks give. */
export const INSTANT = { type: 'datetime', precision: 3 } as const satisfies ColumnOptions;

/** An instant that may be absent. */
export const OPTIONAL_INSTANT = { ...INSTANT, nullable: true } as const satisfies ColumnOptions;

/** SHA-256 in hex. */
export const DIGEST = { type: 'varchar', length: 64 } as const satisfies ColumnOptions;

/** Text of at most `length` characters. DTOs check the length: SQLite does not. */
export const text = (length: number) => ({ type: 'varchar', length }) as const satisfies ColumnOptions;

/** A foreign key to the row that this one belongs to, and goes with. */
export const OWNED = { onDelete: 'CASCADE', onUpdate: 'NO ACTION' } as const;
