import { createHmac, type KeyObject } from 'node:crypto';
import { newSecret } from './app';

/** The key of access tokens in tests that forge them: whoever has it can sign what the service never would. */
export const JWT_SECRET = newSecret();

export const HEADER = { alg: 'HS256', typ: 'JWT' };

const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** A token of any header and claims; text is taken as it is. Signed with our own key unless told otherwise. */
export function forge(
  claims: unknown,
  header: unknown = HEADER,
  secret: string | KeyObject = JWT_SECRET,
  hash = 'sha256',
): string {
  return sign(`${encode(header)}.${encode(claims)}`, secret, hash);
}

/** Any text with a good signature behind it. */
export function sign(signed: string, secret: string | KeyObject = JWT_SECRET, hash = 'sha256'): string {
  return `${signed}.${createHmac(hash, secret).update(signed).digest('base64url')}`;
}

export function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >;
}
