import { canonical } from '../core/canonical';

/** Whose password it is to be. */
export interface PasswordOwner {
  username: string;
  email: string;
}

/** Shorter parts occur in any text. */
const LEAST_LENGTH = 4;

const PRODUCT = 'latchkey';

/**
 * The words that somebody who knows the account tries first (NIST SP 800-63B section 3.1.1.2, ASVS 6.2.11): the user name,
 * the e-mail address, their parts, the product and the names in this service's address. Lower case, the longest first.
 *
 * @param issuer `iss` of the access tokens: where it is an URL, its host names the organisation
 */
export function personalWords({ username, email }: PasswordOwner, issuer: string): string[] {
  const host = URL.canParse(issuer) ? new URL(issuer).hostname : '';
  const [local = ''] = email.split('@');
  const whole = [username, email, local, host, PRODUCT].map(canonical);
  const parts = whole.flatMap((word) =>
    word.split(/[^\p{L}\p{N}]+|(?<=\p{L})(?=\p{N})|(?<=\p{N})(?=\p{L})/u),
  );
  return [...new Set([...whole, ...parts])]
    .filter((word) => word.length >= LEAST_LENGTH)
    .sort((a, b) => b.length - a.length);
}
