import { Injectable } from '@nestjs/common';
import { KeyRing } from '../crypto/key-ring';
import { signMessage, verifyMessage } from '../crypto/signed-message';
import { RedisLink } from '../redis/redis-link';
import type { RevocationLine } from './revocation-entry.entity';

const CHANNEL = 'latchkey:revocations';

/** A line as it travels: instants as milliseconds. */
type SentLine = [subject: RevocationLine['subject'], subjectId: string, expiresAt: number];

/**
 * Tells the other instances through Redis what has just been revoked, so that they need not wait for their next poll. Only
 * faster than the poll, never instead of it: a message may be lost. It carries a MAC, so that who can write to Redis can
 * neither end sessions nor fill the memory of instances.
 */
@Injectable()
export class RevocationChannel {
  constructor(
    private readonly redis: RedisLink,
    private readonly keys: KeyRing,
  ) {}

  /** Sends lines that have been committed. */
  send(lines: readonly RevocationLine[]): void {
    if (!this.redis.client) return;
    const body = JSON.stringify(
      lines.map(({ subject, subjectId, expiresAt }): SentLine => [subject, subjectId, expiresAt.getTime()]),
    );
    this.redis.publish(CHANNEL, signMessage(this.keys.revocationChannel, body));
  }

  /** Has `learn` called with every line that another instance, or this one, has sent. */
  receive(learn: (line: RevocationLine) => void): void {
    this.redis.subscribe(CHANNEL, (message) => {
      const body = verifyMessage(this.keys.revocationChannel, message);
      if (body === undefined) return;
      for (const [subject, subjectId, expiresAt] of JSON.parse(body) as SentLine[]) {
        learn({ subject, subjectId, expiresAt: new Date(expiresAt) });
      }
    });
  }
}
