import type { EntityManager } from 'typeorm';
import { In } from 'typeorm';
import { accountScopes } from '../access/account-lock';
import { parseScopes, withinOwner } from '../access/scopes';
import { earlier, toNumericDate } from '../core/instant';
import { ApiKey, ApiKeySecret } from './api-key.entity';

/** A secret that has been replaced and still works. */
export interface OldSecretOverview {
  endsAt: Date;
  lastUsedAt: Date | null;
  /** Whether anybody has called with it since it was replaced, or in the very second of that. */
  inUse: boolean;
  /** Since when nobody has: the last call, or the rotation. */
  quietSince: Date;
}

/** A key as its owner sees it. */
export interface KeyOverview {
  key: ApiKey;
  /** What it may do: what it was given, as far as its owner holds it. */
  scopes: string[];
  lastUsedAt: Date | null;
  oldSecret: OldSecretOverview | null;
}

/** The account's keys as of now, newest first: all of them, or the one of that id. */
export async function readOverviews(
  tx: EntityManager,
  account: { userId: string; now: Date },
  keyId?: string,
): Promise<KeyOverview[]> {
  const { userId, now } = account;
  const keys = await tx.find(ApiKey, {
    where: keyId === undefined ? { userId } : { userId, id: keyId },
    order: { id: 'DESC' },
  });
  const secrets = await tx.findBy(ApiKeySecret, { keyId: In(keys.map(({ id }) => id)) });
  const ownerScopes = await accountScopes(tx, userId);
  return keys.map((key) => {
    const own = secrets.filter((secret) => secret.keyId === key.id);
    return {
      key,
      scopes: withinOwner(parseScopes(key.scopes), ownerScopes),
      lastUsedAt: lastUse(key, own),
      oldSecret: oldSecretOf(key, own, now),
    };
  });
}

/** When a key was last used by any of its secrets, today's and earlier ones. */
export function lastUse(key: ApiKey, secrets: ApiKeySecret[]): Date | null {
  const uses = [key, ...secrets].flatMap(({ lastUsedAt }) => (lastUsedAt ? [lastUsedAt.getTime()] : []));
  return uses.length === 0 ? null : new Date(Math.max(...uses));
}

function oldSecretOf(key: ApiKey, secrets: ApiKeySecret[], now: Date): OldSecretOverview | null {
  for (const { replacedAt, endsAt, lastUsedAt } of secrets) {
    if (!replacedAt || !endsAt || endsAt <= now) continue;
    // Uses are written down by the second: one in the second of the rotation may have come after it, and is taken for such.
    const inUse = lastUsedAt !== null && toNumericDate(lastUsedAt) >= toNumericDate(replacedAt);
    return {
      endsAt: key.expiresAt ? earlier(endsAt, key.expiresAt) : endsAt,
      lastUsedAt,
      inUse,
      quietSince: inUse ? lastUsedAt : replacedAt,
    };
  }
  return null;
}
