import { loadConfig } from '../config/load-config';
import { sha256Hex } from '../crypto/sha256';
import type { HeldSession } from './held-session';
import { judgeRefresh, type RefreshVerdict } from './refresh-verdict';
import { SessionLifetimes } from './session-lifetimes';

const NOW = new Date('2026-03-14T12:00:00.000Z');
const secondsAgo = (seconds: number) => new Date(NOW.getTime() - seconds * 1000);
const NONCE = Buffer.alloc(16, 7);

/** A session at generation 5, rotated three seconds ago with the key `k`. */
const SESSION: HeldSession = {
  id: 'sess_1',
  userId: 'user_1',
  generation: 5,
  nonceHash: sha256Hex(NONCE),
  idempotencyHash: sha256Hex('k'),
  createdAt: secondsAgo(1000),
  rotatedAt: secondsAgo(3),
  idleEndsAt: secondsAgo(-1000),
  endsAt: secondsAgo(-1000),
  accessEndsAt: secondsAgo(-1000),
  revokedAt: null,
  holder: { username: 'jane', scopes: '*' },
};

interface Case {
  session?: Partial<HeldSession> | null;
  generation?: number;
  nonce?: Buffer;
  key?: string;
  grace?: string;
}

function judge({ session = {}, generation = 5, nonce = NONCE, key, grace = '10' }: Case): RefreshVerdict {
  return judgeRefresh(
    session && { ...SESSION, ...session },
    {
      token: { sessionId: 'sess_1', generation, nonce },
      idempotencyHash: key === undefined ? null : sha256Hex(key),
      presentedAt: NOW,
    },
    new SessionLifetimes(loadConfig({ REFRESH_GRACE: grace })),
    NOW,
  );
}

describe('the verdict on a refresh token', () => {
  it.each<[string, RefreshVerdict, Case]>([
    ['of the live generation', 'advance', {}],
    ['of the live generation, whatever key comes with it', 'advance', { key: 'other' }],
    ['of the generation before, within the grace', 'repeat', { generation: 4 }],
    ['at the last instant of the grace', 'repeat', { generation: 4, session: { rotatedAt: secondsAgo(10) } }],
    ['just after the grace', 'reused', { generation: 4, session: { rotatedAt: secondsAgo(10.001) } }],
    [
      'after the grace with its key',
      'repeat',
      { generation: 4, key: 'k', session: { rotatedAt: secondsAgo(900) } },
    ],
    [
      'after the grace with another key',
      'reused',
      { generation: 4, key: 'x', session: { rotatedAt: secondsAgo(900) } },
    ],
    [
      'after the grace with a key where the rotation had none',
      'reused',
      { generation: 4, key: 'k', session: { rotatedAt: secondsAgo(900), idempotencyHash: null } },
    ],
    ['two generations back, within the grace', 'reused', { generation: 3 }],
    ['two generations back, with the key', 'reused', { generation: 3, key: 'k' }],
    ['of the future', 'refused', { generation: 6 }],
    ['with another nonce', 'refused', { nonce: Buffer.alloc(16, 8) }],
    ['with another nonce, of the past', 'refused', { nonce: Buffer.alloc(16, 8), generation: 1 }],
    ['whose session is gone', 'refused', { session: null }],
    ['whose session was revoked', 'refused', { session: { revokedAt: secondsAgo(1) } }],
    [
      'whose session was revoked, of the past',
      'refused',
      { session: { revokedAt: secondsAgo(1) }, generation: 1 },
    ],
    ['whose session was idle for too long', 'refused', { session: { idleEndsAt: NOW } }],
    ['of the generation before, where no repetition is allowed', 'reused', { generation: 4, grace: '0' }],
    ['the same with its key', 'reused', { generation: 4, grace: '0', key: 'k' }],
    ['of the live generation, where no repetition is allowed', 'advance', { grace: '0' }],
  ])('%s is: %s', (_, verdict, given) => {
    expect(judge(given)).toBe(verdict);
  });
});
