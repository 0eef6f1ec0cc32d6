import type { EntityManager } from 'typeorm';
import { onMysql } from './database';

/** Fields whose values grant access, in whatever body they come. */
const SECRET_FIELDS = [
  'password',
  'currentPassword',
  'newPassword',
  'token',
  'refreshToken',
  'apiKey',
  'deviceToken',
];

/** Shorter ones are words that stand elsewhere too. */
const SHORTEST = 8;

/**
 * Remembers every password that was accepted and every token and key that was given out, to look for them where they must
 * not be.
 */
export class SecretWatch {
  private readonly secrets = new Set<string>();

  /** Takes note of a call that succeeded. */
  note(...bodies: unknown[]): void {
    for (const body of bodies) {
      if (typeof body !== 'object' || body === null) continue;
      for (const field of SECRET_FIELDS) {
        const value = (body as Record<string, unknown>)[field];
        if (typeof value === 'string' && value.length >= SHORTEST) this.secrets.add(value);
      }
    }
  }

  /** How many there are by now. */
  get size(): number {
    return this.secrets.size;
  }

  /** Those that the text holds, as they are or in the forms that logs and columns would give them. */
  foundIn(text: string): string[] {
    return [...this.secrets].filter((secret) =>
      [
        secret,
        JSON.stringify(secret).slice(1, -1),
        Buffer.from(secret).toString('base64').replace(/=+$/, ''),
      ].some((form) => text.includes(form)),
    );
  }
}

/** Every row of every table, as text. */
export async function dumpDatabase(tx: EntityManager): Promise<string> {
  const tables = await tx.query<{ name: string }[]>(
    onMysql
      ? 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()'
      : "SELECT name FROM sqlite_master WHERE type = 'table'",
  );
  const rows = [];
  for (const { name } of tables) rows.push(name, await tx.query(`SELECT * FROM ${name}`));
  return JSON.stringify(rows);
}
