import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Clock } from '../core/clock';
import { addSeconds } from '../core/instant';
import { afterCommit } from '../database/transactions';
import { RevocationChannel } from './revocation-channel';
import type { RevocationEntry, RevocationSubject } from './revocation-entry.entity';
import { RevocationFeed } from './revocation-feed';
import { EVER } from './revocation-lines';

/** Something revoked or changed, and when nothing that it concerns can be valid any more. */
export interface Revocation {
  id: string;
  expiresAt: Date;
}

/** Lines that one statement writes. */
const LINES_AT_ONCE = 1_000;

/** Seconds for which the end of something is still told after it has come: much more than two kept clocks differ by. */
const TOLD_SECONDS = 60;

/** Writes into the feed what was revoked or changed. */
@Injectable()
export class RevocationAnnouncer {
  constructor(
    private readonly feed: RevocationFeed,
    private readonly channel: RevocationChannel,
    private readonly clock: Clock,
  ) {}

  /**
   * Only what expires after this instant needs to be announced: the rest has not been accepted anywhere for `TOLD_SECONDS`. Everything,
   * while the clock is not trusted.
   */
  get toldAfter(): Date {
    return this.clock.isTrusted ? addSeconds(this.clock.now(), -TOLD_SECONDS) : EVER;
  }

  /**
   * Tells all instances, as part of the transaction that revokes. This one knows as soon as it has committed. Of what
   * expired before `toldAfter` nobody is told.
   */
  async announce(tx: EntityManager, subject: RevocationSubject, revocations: Revocation[]): Promise<void> {
    const { toldAfter } = this;
    const lines = revocations
      .filter(({ expiresAt }) => expiresAt > toldAfter)
      .map(({ id, expiresAt }) => ({ subject, subjectId: id, expiresAt }));
    if (lines.length === 0) return;
    for (let first = 0; first < lines.length; first += LINES_AT_ONCE)
      await tx.insert<RevocationEntry>('RevocationEntry', lines.slice(first, first + LINES_AT_ONCE));
    afterCommit(tx, () => {
      for (const line of lines) this.feed.learn(line);
      this.channel.send(lines);
    });
  }
}
