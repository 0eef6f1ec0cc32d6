import type { RefreshToken } from '../crypto/refresh-token-format';
import { sameDigest, sha256Hex } from '../crypto/sha256';
import type { HeldSession } from './held-session';
import type { SessionLifetimes } from './session-lifetimes';

/**
 * What a presented refresh token means:
 * - `advance`: it is the live one; it is to be replaced
 * - `repeat`: it has just been replaced, and who repeats it gets the same answer again
 * - `reused`: it was replaced before, and whoever presents it now may be a thief
 * - `refused`: it opens nothing, and proves nothing about anybody
 */
export type RefreshVerdict = 'advance' | 'repeat' | 'reused' | 'refused';

export interface PresentedRefresh {
  token: RefreshToken;
  /** SHA-256 of the request's `Idempotency-Key`. */
  idempotencyHash: string | null;
  /** When the call came. What it waits here afterwards takes nothing of the grace. */
  presentedAt: Date;
}

/** Decides from the row alone, so that whoever loses a race reads the row again and decides again. */
export function judgeRefresh(
  session: HeldSession | null,
  presented: PresentedRefresh,
  lifetimes: SessionLifetimes,
  now: Date,
): RefreshVerdict {
  const { token } = presented;
  if (!session || session.revokedAt !== null || session.idleEndsAt <= now) return 'refused';
  // The master secret alone makes a MAC; only the client of this session knows the nonce.
  if (!sameDigest(sha256Hex(token.nonce), session.nonceHash)) return 'refused';
  // From the future of a database that was restored from a backup: nobody's fault, and nobody's session to end.
  if (token.generation > session.generation) return 'refused';
  if (token.generation === session.generation) return 'advance';
  return isRepeat(session, presented, lifetimes) ? 'repeat' : 'reused';
}

function isRepeat(
  session: HeldSession,
  { token, idempotencyHash, presentedAt }: PresentedRefresh,
  lifetimes: SessionLifetimes,
): boolean {
  // Only the immediate predecessor: once the successor has been used, the client has it, and needs no other answer.
  if (token.generation !== session.generation - 1 || session.rotatedAt === null) return false;
  // RFC 9700 section 4.14.2 taken literally: no repetition is ever innocent.
  if (!lifetimes.allowsRepeats) return false;
  if (lifetimes.inGrace(presentedAt, session.rotatedAt)) return true;
  // However late: the key proves that this is the client whose rotation it was, which a stolen token alone does not.
  return (
    idempotencyHash !== null &&
    session.idempotencyHash !== null &&
    sameDigest(idempotencyHash, session.idempotencyHash)
  );
}
