import { Inject, Injectable } from '@nestjs/common';
import { Config } from '../config/config';
import { LOG, type Log } from '../core/log';
import { breachRangeOf } from '../crypto/breach-range';

/** Milliseconds that somebody who sets a password is kept waiting for it. */
export const TIMEOUT_MS = 2_000;

/** A padded answer has some 1,000 lines of 40 bytes. */
const LONGEST_ANSWER_BYTES = 256 * 1024;

const LINE = /^([0-9A-F]{35}):(\d{1,15})$/i;

/** What the service knows: `unknown` where none is configured, `failed` where it did not answer as it should. */
export type BreachVerdict = 'breached' | 'unknown' | 'failed';

/** Asks a service that knows breached passwords by the range of their digests (k-anonymity; ASVS 6.2.12). */
@Injectable()
export class BreachedPasswords {
  constructor(
    private readonly config: Config,
    @Inject(LOG) private readonly log: Log,
  ) {}

  /**
   * Whether a password is known to have been breached. Never fails: nobody is kept from choosing a password because a
   * service elsewhere is down.
   *
   * @param requestId for the log
   */
  async look(password: string, requestId: string): Promise<BreachVerdict> {
    const { breachedPasswordsUrl } = this.config;
    if (breachedPasswordsUrl === undefined) return 'unknown';
    const { prefix, suffix } = breachRangeOf(password);
    try {
      const lines = await readRange(new URL(prefix, breachedPasswordsUrl));
      return lines.some(([known, count]) => known === suffix && count > 0) ? 'breached' : 'unknown';
    } catch (error) {
      this.log.warn(
        { requestId, reason: reasonOf(error) },
        'The breached-password service did not answer as it should; a password was accepted without it',
      );
      return 'failed';
    }
  }
}

/** The other digits of every known digest in the range, and how often each was seen; padding was never seen. */
async function readRange(url: URL): Promise<[string, number][]> {
  const response = await fetch(url, {
    headers: { 'Add-Padding': 'true', 'User-Agent': 'Latchkey' },
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`status ${response.status}`);
  }
  const text = await readBounded(response);
  return text
    .split(/\r?\n/)
    .filter((line) => line !== '')
    .map((line) => {
      const match = LINE.exec(line);
      if (!match) throw new Error('a line of another form');
      return [String(match[1]).toUpperCase(), Number(match[2])];
    });
}

async function readBounded({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += (chunk as Uint8Array).length;
    if (length > LONGEST_ANSWER_BYTES) throw new Error('an answer that is too long');
    chunks.push(chunk as Uint8Array);
  }
  if (length === 0) throw new Error('an empty answer');
  return Buffer.concat(chunks).toString('latin1');
}

/** Without the address, which has part of the password's digest in it. */
function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error & { cause?: { code?: string; message?: string } };
  if (name === 'TimeoutError') return 'no answer in time';
  return cause?.code ?? cause?.message ?? message;
}
