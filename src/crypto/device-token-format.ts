import { idFromBytes, idToBytes } from '../core/ids';
import type { PurposeKeys } from './key-ring';
import { SealedText } from './sealed-text';

/** Bytes of the random part: 128 bits. */
export const DEVICE_ID_BYTES = 16;

const CREDENTIAL_VERSION_AT = 16;
const DEVICE_AT = CREDENTIAL_VERSION_AT + 4;
const CONTENT_BYTES = DEVICE_AT + DEVICE_ID_BYTES;

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
 * Writes and reads device tokens: `dt_` and sealed after it, user id (16 bytes), credential version (4) and device id (16).
 * Nothing is stored of them. They grant no access: whoever shows one is only counted apart from strangers while the password is
 * checked.
 */
export class DeviceTokenFormat {
  private readonly text: SealedText;

  constructor(keys: PurposeKeys) {
    this.text = new SealedText('dt_', CONTENT_BYTES, keys);
  }

  encode({ userId, credentialVersion, deviceId }: DeviceToken): string {
    const content = Buffer.alloc(CONTENT_BYTES);
    content.set(idToBytes('user', userId));
    content.writeUInt32BE(credentialVersion, CREDENTIAL_VERSION_AT);
    content.set(deviceId, DEVICE_AT);
    return this.text.seal(content);
  }

  /** The token, or undefined for any text that this service did not write. */
  decode(text: string): DeviceToken | undefined {
    const content = this.text.open(text);
    return (
      content && {
        userId: idFromBytes('user', content.subarray(0, CREDENTIAL_VERSION_AT)),
        credentialVersion: content.readUInt32BE(CREDENTIAL_VERSION_AT),
        deviceId: content.subarray(DEVICE_AT),
      }
    );
  }
}
