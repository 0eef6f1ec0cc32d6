import type { EntityManager } from 'typeorm';
import { AddressRanges } from '../access/address-ranges';
import { parseScopes, withinOwner } from '../access/scopes';
import { earlier } from '../core/instant';
import { select, toInstant } from '../database/sql';
import type { JudgedKey } from './key-verdict';

/** A secret that still works and soon will not. */
interface Retirement {
  since: Date;
  until: Date;
}

/** What the database knows of a key that somebody presents, ready to be judged. */
export interface PresentedKey extends JudgedKey {
  /** SHA-256 of the key presented. */
  hash: string;
  keyId: string;
  userId: string;
  username: string;
  /** What it may do: what it was given and its owner holds. */
  effectiveScopes: readonly string[];
  /** When the secret presented was made. */
  issuedAt: Date;
  /** Set where another secret has taken its place. */
  retirement: Retirement | undefined;
}

type StoredInstant = Date | string;

interface FactsRow {
  scopes: string;
  allowedIps: string | null;
  expiresAt: StoredInstant | null;
  disabledAt: StoredInstant | null;
  reportedAt: StoredInstant | null;
  ownerScopes: string;
  ownerDisabledAt: StoredInstant | null;
}

interface SecretRow extends FactsRow {
  hash: string;
  keyId: string;
  userId: string;
  username: string;
  createdAt: StoredInstant;
  replacedAt: StoredInstant | null;
  endsAt: StoredInstant | null;
}

const FACTS = `k.scopes AS scopes, k.allowed_ips AS allowedIps, k.expires_at AS expiresAt, k.disabled_at AS disabledAt,
  k.reported_at AS reportedAt, u.scopes AS ownerScopes, u.disabled_at AS ownerDisabledAt`;

/** The key of the account with that id, or undefined. */
export async function readOwnKey(
  tx: EntityManager,
  userId: string,
  keyId: string,
): Promise<JudgedKey | undefined> {
  const [row] = await select<FactsRow>(
    tx,
    `SELECT ${FACTS} FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.id = ? AND k.user_id = ?`,
    [keyId, userId],
  );
  return row && toJudged(row);
}

/** The keys that have secrets of these digests, each by its digest; nothing where there is none. */
export async function readPresentedKeys(
  tx: EntityManager,
  hashes: readonly string[],
): Promise<Map<string, PresentedKey>> {
  const places = hashes.map(() => '?').join(', ');
  const rows = await select<SecretRow>(
    tx,
    `SELECT ${FACTS}, k.id AS keyId, k.user_id AS userId, u.username AS username, s.hash AS hash,
       s.created_at AS createdAt, s.replaced_at AS replacedAt, s.ends_at AS endsAt
     FROM api_key_secrets s
     JOIN api_keys k ON k.id = s.key_id
     JOIN users u ON u.id = k.user_id
     WHERE s.hash IN (${places})`,
    [...hashes],
  );
  return new Map(rows.map((row) => [row.hash, toPresentedKey(row)]));
}

function toPresentedKey(row: SecretRow): PresentedKey {
  const judged = toJudged(row);
  return {
    ...judged,
    hash: row.hash,
    keyId: row.keyId,
    userId: row.userId,
    username: row.username,
    effectiveScopes: withinOwner(judged.scopes, judged.ownerScopes),
    issuedAt: toInstant(row.createdAt),
    retirement: retirementOf(row, judged),
  };
}

function toJudged(row: FactsRow): JudgedKey {
  return {
    ownerEnabled: row.ownerDisabledAt === null,
    enabled: row.disabledAt === null,
    reported: row.reportedAt !== null,
    expiresAt: row.expiresAt === null ? null : toInstant(row.expiresAt),
    allowedFrom: row.allowedIps === null ? undefined : new AddressRanges(row.allowedIps.split(' ')),
    scopes: parseScopes(row.scopes),
    ownerScopes: parseScopes(row.ownerScopes),
  };
}

function retirementOf({ replacedAt, endsAt }: SecretRow, { expiresAt }: JudgedKey): Retirement | undefined {
  if (replacedAt === null || endsAt === null) return undefined;
  const end = toInstant(endsAt);
  return { since: toInstant(replacedAt), until: expiresAt === null ? end : earlier(end, expiresAt) };
}
