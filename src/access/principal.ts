/** Who is calling, whichever credential said so. Nothing below the guard asks how the caller came in. */
export interface Principal {
  userId: string;
  credential: 'session' | 'api-key';
  /** Id of the session or of the key. */
  credentialId: string;
  /** What the caller may do; `*` is everything that the account may. */
  scopes: readonly string[];
  /** What the account is called, as far as the credential tells. */
  username?: string | undefined;
  /** When the password was last shown. Absent for keys. */
  authenticatedAt?: Date;
}
