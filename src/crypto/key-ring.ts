import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';

/** The secrets that keys are made from. */
export interface Secrets {
  /** The master secret. */
  master: string;
  /** Earlier master secrets: they verify and never sign. */
  previous: readonly string[];
  /** The configured HS256 secret of access tokens; absent, it is derived. */
  accessToken?: string | undefined;
}

/** Keys for one purpose: `current` signs, all of `accepted` verify, current first. */
export interface PurposeKeys {
  current: KeyObject;
  accepted: readonly KeyObject[];
}

/**
 * One key per purpose, each derived from the master secret by HKDF (RFC 5869), so that a signature made for one purpose
 * is worth nothing for another.
 */
export class KeyRing {
  readonly accessToken: PurposeKeys;
  readonly refreshToken: PurposeKeys;
  /** What instances tell each other through Redis. */
  readonly revocationChannel: PurposeKeys;
  /** Links of the audit trail's chain. */
  readonly auditChain: PurposeKeys;
  /** Marks of single events of the audit trail. */
  readonly auditEvent: PurposeKeys;
  /** What a device shows that has signed in before. */
  readonly deviceToken: PurposeKeys;
  /** What is counted is named by digests made with it. */
  readonly limitSubject: PurposeKeys;

  constructor({ master, previous, accessToken }: Secrets) {
    const derived = (purpose: string): PurposeKeys =>
      purposeKeys(
        derive(master, purpose),
        previous.map((secret) => derive(secret, purpose)),
      );
    this.refreshToken = derived('latchkey/refresh-token/v1');
    this.revocationChannel = derived('latchkey/revocation-channel/v1');
    this.auditChain = derived('latchkey/audit-chain/v1');
    this.auditEvent = derived('latchkey/audit-event/v1');
    this.deviceToken = derived('latchkey/device-token/v1');
    this.limitSubject = derived('latchkey/limit-subject/v1');
    this.accessToken =
      accessToken === undefined
        ? derived('latchkey/access-token/v1')
        : purposeKeys(createSecretKey(accessToken, 'utf8'), []);
  }
}

function purposeKeys(current: KeyObject, previous: KeyObject[]): PurposeKeys {
  return { current, accepted: [current, ...previous] };
}

function derive(secret: string, purpose: string): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', purpose, 32)));
}
