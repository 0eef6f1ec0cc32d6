import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { idFromBytes, idToBytes } from '../core/ids';
import type { PurposeKeys } from './key-ring';

const PREFIX = 'dt_';
const VERSION = 1;

/** Bytes of the random part: 128 bits. */
export const DEVICE_ID_BYTES = 16;

const USER_AT = 1;
const CREDENTIAL_VERSION_AT = USER_AT + 16;
const DEVICE_AT = CREDENTIAL_VERSION_AT + 4;
const MAC_AT = DEVICE_AT + DEVICE_ID_BYTES;
const TOKEN_BYTES = MAC_AT + 32;

/** What a device token says. */
export interface DeviceToken {
  /** The account that the device has signed in to. */
  userId: string;
  /** Which of the account's passwords it was; with another one the token is void. */
  credentialVersion: number;
  /** Random: tells one device of the account from another. */
  deviceId: Buffer;
}

/**
 * Writes and reads device tokens: `dt_`, then base64url of version (1 byte), user id (16), credential version (4), device id
 * (16) and HMAC-SHA-256 over all of these (32). Nothing is stored of them. They grant no access: whoever shows one is only
 * counted apart from strangers while the password is checked.
 */
export class DeviceTokenFormat {
  constructor(private readonly keys: PurposeKeys) {}

  encode(token: DeviceToken): string {
    const bytes = Buffer.alloc(TOKEN_BYTES);
    bytes.writeUInt8(VERSION, 0);
    bytes.set(idToBytes('user', token.userId), USER_AT);
    bytes.writeUInt32BE(token.credentialVersion, CREDENTIAL_VERSION_AT);
    bytes.set(token.deviceId, DEVICE_AT);
    bytes.set(mac(this.keys.current, bytes), MAC_AT);
    return PREFIX + bytes.toString('base64url');
  }

  /** The token, or undefined for any text that this service did not write. */
  decode(text: string): DeviceToken | undefined {
    if (!text.startsWith(PREFIX)) return undefined;
    const encoded = text.slice(PREFIX.length);
    const bytes = Buffer.from(encoded, 'base64url');
    // Only one text stands for these bytes: no padding, no foreign characters (which decoding would skip).
    if (bytes.length !== TOKEN_BYTES || bytes.toString('base64url') !== encoded) return undefined;
    if (bytes.readUInt8(0) !== VERSION) return undefined;
    const presented = bytes.subarray(MAC_AT);
    if (!this.keys.accepted.some((key) => timingSafeEqual(mac(key, bytes), presented))) return undefined;
    return {
      userId: idFromBytes('user', bytes.subarray(USER_AT, CREDENTIAL_VERSION_AT)),
      credentialVersion: bytes.readUInt32BE(CREDENTIAL_VERSION_AT),
      deviceId: bytes.subarray(DEVICE_AT, MAC_AT),
    };
  }
}

function mac(key: KeyObject, token: Buffer): Buffer {
  return createHmac('sha256', key).update(token.subarray(0, MAC_AT)).digest();
}
