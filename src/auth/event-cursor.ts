import { idFromBytes, idToBytes } from '../core/ids';

/** The event behind which the next page begins: the bytes of its id. It says nothing that the client does not know. */
export function encodeCursor(eventId: string): string {
  return Buffer.from(idToBytes('evt', eventId)).toString('base64url');
}

/** The event's id, or undefined for any text that is no cursor. */
export function decodeCursor(text: string): string | undefined {
  const bytes = Buffer.from(text, 'base64url');
  // One spelling each: no padding, no foreign characters, which decoding would skip.
  const canonical = bytes.length === 16 && bytes.toString('base64url') === text;
  return canonical ? idFromBytes('evt', bytes) : undefined;
}
