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

  constructor({ master, previous, accessToken }: Secrets) {
    const masters = [master, ...previous];
    this.refreshToken = purposeKeys(masters.map((secret) => derive(secret, 'latchkey/refresh-token/v1')));
    this.accessToken = purposeKeys(
      accessToken === undefined
        ? masters.map((secret) => derive(secret, 'latchkey/access-token/v1'))
        : [createSecretKey(accessToken, 'utf8')],
    );
  }
}

function purposeKeys(accepted: KeyObject[]): PurposeKeys {
  return { current: accepted[0], accepted };
}

function derive(secret: string, purpose: string): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', purpose, 32)));
}
