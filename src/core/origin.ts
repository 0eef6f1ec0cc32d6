/** Whence a request came: what is kept of it with sessions and in the audit trail. */
export interface Origin {
  /** The client's address, as far as `TRUST_PROXY` lets it be believed. */
  ip: string;
  /** Header `User-Agent`, cut to 256 characters. */
  userAgent: string | null;
  requestId: string;
}
