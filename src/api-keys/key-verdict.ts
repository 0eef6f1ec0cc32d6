import type { AddressRanges } from '../access/address-ranges';
import { holdsScope } from '../access/scopes';

/** What is judged of a key, whoever asks and however it was found. */
export interface JudgedKey {
  ownerEnabled: boolean;
  /** The owner's own switch. */
  enabled: boolean;
  /** Whether its secret was reported as found. */
  reported: boolean;
  expiresAt: Date | null;
  /** Undefined: from anywhere. */
  allowedFrom: AddressRanges | undefined;
  /** What it was given. */
  scopes: readonly string[];
  ownerScopes: readonly string[];
}

/** A use of a key, real or imagined. What is left out is not judged. */
export interface KeyUse {
  now: Date;
  address?: string | undefined;
  scope?: string | undefined;
}

type Rule = (key: JudgedKey, use: KeyUse) => boolean | undefined;

/**
 * Everything that a key is judged by, in the order in which it is. One list for the door and for its explanation, so that
 * an owner is never told something else than what happens.
 */
const RULES = {
  owner_enabled: (key) => key.ownerEnabled,
  key_enabled: (key) => key.enabled,
  not_reported: (key) => !key.reported,
  not_expired: (key, { now }) => key.expiresAt === null || key.expiresAt > now,
  address_allowed: (key, { address }) =>
    address === undefined ? undefined : (key.allowedFrom?.includes(address) ?? true),
  scope_given: (key, { scope }) => (scope === undefined ? undefined : key.scopes.includes(scope)),
  scope_held_by_owner: (key, { scope }) =>
    scope === undefined ? undefined : holdsScope(key.ownerScopes, scope),
} satisfies Record<string, Rule>;

export type KeyCheck = keyof typeof RULES;

/** Names of the checks, in their order. */
export const KEY_CHECKS = Object.keys(RULES) as KeyCheck[];

export const CHECK_OUTCOMES = ['pass', 'fail', 'skipped'] as const;

/** What a check came to; `skipped` where it was not asked about. */
export interface JudgedCheck {
  check: KeyCheck;
  outcome: (typeof CHECK_OUTCOMES)[number];
}

const inOrder: Rule[] = Object.values(RULES);

/** Whether the key may be used like this. */
export function admits(key: JudgedKey, use: KeyUse): boolean {
  return inOrder.every((passes) => passes(key, use) !== false);
}

/** What each check came to, in their order. */
export function judgeEach(key: JudgedKey, use: KeyUse): JudgedCheck[] {
  return KEY_CHECKS.map((check) => {
    const passes = RULES[check](key, use);
    return { check, outcome: passes === undefined ? 'skipped' : passes ? 'pass' : 'fail' };
  });
}
