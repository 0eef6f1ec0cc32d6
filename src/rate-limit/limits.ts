import type { ReachedLimit } from '../audit/security-event';

/**
 * A limit on how often a password may be tried against one thing. The first failures in a row are evaluated at once; each
 * further one is let in after a pause that doubles. A success ends the row.
 */
export interface AttemptLimit {
  kind: 'attempts';
  /** Failures in a row that are evaluated without a pause. */
  points: number;
  /** Seconds after which a failure is forgotten. */
  seconds: number;
  /** Longest pause, in seconds. */
  longestPause: number;
  /** Most failures that are evaluated in `seconds`, whatever came between. */
  most: number;
  counts: string;
  why: string;
}

/** A limit on how often something may be done in a window of time. */
export interface WindowLimit {
  kind: 'window';
  points: number;
  /** Length of the window. */
  seconds: number;
  counts: string;
  why: string;
}

const DAY = 24 * 3600;

/** The same rule for whatever a password is tried against: it is the passwords that it protects. */
const PASSWORD_RULE = { kind: 'attempts', points: 10, seconds: DAY, longestPause: 900, most: 100 } as const;

/**
 * Every limit, by the name that `RateLimit-Policy`, the log and the audit trail use. docs/operations.md has the same table; a
 * test compares the two. How many passwords may wait to be hashed, over everybody, is for `PasswordHasher` to say.
 */
export const LIMITS = {
  'login-account': {
    ...PASSWORD_RULE,
    counts:
      'failed logins to one account, whatever it is called, or under one name that nobody has, from devices that have not signed in to it before',
    why: 'guessing one password from however many addresses',
  },
  'login-device': {
    ...PASSWORD_RULE,
    counts: 'failed logins with one `deviceToken`',
    why: 'guessing with a stolen device token; apart, so that strangers cannot lock the owner out',
  },
  'login-address': {
    kind: 'window',
    points: 100,
    seconds: 600,
    counts: 'failed logins from one address, over all user names; not those with a `deviceToken`',
    why: 'trying one password on many accounts; an office behind one address has room for its typing errors',
  },
  'login-network': {
    kind: 'window',
    points: 1_000,
    seconds: 600,
    counts: 'the same from one IPv6 /48, over all its addresses',
    why: 'whoever has a /48 has 65,536 addresses to count; ten times as much as one of them may do',
  },
  'sign-in': {
    kind: 'window',
    points: 600,
    seconds: 3600,
    counts: 'successful sign-ins of one account, over all devices and addresses',
    why: 'each leaves an event for ever and a session; only who knows the password learns of it',
  },
  'password-proof': {
    ...PASSWORD_RULE,
    counts: 'wrong current passwords shown by one session',
    why: 'guessing the password with a stolen access token',
  },
  'sign-up': {
    kind: 'window',
    points: 100,
    seconds: 3600,
    counts: 'sign-ups from one address, refused ones included',
    why: 'making accounts by the thousand, and asking which names are taken',
  },
  'sign-up-network': {
    kind: 'window',
    points: 1_000,
    seconds: 3600,
    counts: 'the same from one IPv6 /48, over all its addresses',
    why: 'as `login-network`',
  },
  'refresh-session': {
    kind: 'window',
    points: 120,
    seconds: 60,
    counts: 'refreshes of one session',
    why: 'a client gone wild, and still a hundred racing calls; forged tokens cost nothing and are not counted',
  },
  'account-changes': {
    kind: 'window',
    points: 300,
    seconds: 3600,
    counts: 'changes of one account, its keys and its password, over all its sessions, refused ones included',
    why: 'each leaves an event for ever and some a line that every instance reads; and asking which names are taken',
  },
  'session-changes': {
    kind: 'window',
    points: 150,
    seconds: 3600,
    counts: 'the same from one session',
    why: 'whoever has stolen one leaves the owner, in another, half of what there is: for a new password, and to delete keys',
  },
  'key-report': {
    kind: 'window',
    points: 60,
    seconds: 60,
    counts: 'reports of found API keys from one address',
    why: 'flooding what anybody may call',
  },
  'key-report-network': {
    kind: 'window',
    points: 600,
    seconds: 60,
    counts: 'the same from one IPv6 /48, over all its addresses',
    why: 'as `login-network`',
  },
} as const satisfies Record<ReachedLimit, AttemptLimit | WindowLimit>;

export type LimitName = keyof typeof LIMITS;

/** Names of the limits of one kind. */
type NamesOf<Kind extends string> = {
  [Name in LimitName]: (typeof LIMITS)[Name] extends { kind: Kind } ? Name : never;
}[LimitName];

export type AttemptLimitName = NamesOf<'attempts'>;
export type WindowLimitName = NamesOf<'window'>;

/** Limits by address, each with the one that its network has beside it. */
export const NETWORK_LIMITS = {
  'login-address': 'login-network',
  'sign-up': 'sign-up-network',
  'key-report': 'key-report-network',
} as const satisfies Partial<Record<WindowLimitName, WindowLimitName>>;

export type AddressLimitName = keyof typeof NETWORK_LIMITS;
