import { Injectable } from '@nestjs/common';
import { Transactions } from '../database/transactions';
import {
  countUnsealed,
  firstSealed,
  readHead,
  readSealed,
  readUnsealed,
  type StoredEvent,
} from './chained-events';
import { type Head, isReplaced } from './event-seal';

/** Events in memory at a time. */
const PAGE_SIZE = 500;

/**
 * An event as it is exported: all that is known of it, without the salt, which has to go with the account. Without a place and a
 * link where it waits to be sealed.
 */
export type ExportedEvent = Omit<StoredEvent, 'salt'>;

/**
 * Why events do not follow a head: the trail is another one than the head was taken from, as it is after a restore, which gives
 * the same numbers out again; or those between are gone, and `next` is the first that is there, if any is.
 */
export type Break = { kind: 'another_trail' } | { kind: 'removed'; next: number | undefined };

/** Hands the audit trail out, so that it can be kept where the database's administrator has no hand in it. */
@Injectable()
export class AuditExport {
  constructor(private readonly transactions: Transactions) {}

  /** How far the trail is sealed. */
  head(): Promise<Head> {
    return this.transactions.read(readHead);
  }

  /** How many events wait to be sealed: those of the last second, or more where nobody seals. */
  unsealed(): Promise<number> {
    return this.transactions.read(countUnsealed);
  }

  /**
   * The events that wait to be sealed, oldest first. Whoever asks for them before he asks for the sealed ones has all of both: what
   * is sealed meanwhile comes twice.
   */
  async *waiting(): AsyncGenerator<ExportedEvent> {
    for (let afterId = ''; ;) {
      const page = await this.transactions.read((tx) => readUnsealed(tx, afterId, PAGE_SIZE));
      for (const { salt: _, ...event } of page) yield event;
      const last = page.at(-1);
      if (!last || page.length < PAGE_SIZE) return;
      afterId = last.id;
    }
  }

  /** What keeps the events behind `after` from being the rest of an export that ends with it; undefined when nothing does. */
  breakBehind(after: Head): Promise<Break | undefined> {
    return this.transactions.read(async (tx) => {
      // First: up to there the events have been sealed, whatever is sealed meanwhile.
      const kept = await readHead(tx);
      const event = await firstSealed(tx, after.sequence);
      const replaced = isReplaced(after, kept) || (event !== undefined && isReplaced(after, event));
      if (kept.sequence < after.sequence || replaced) return { kind: 'another_trail' };
      if (kept.sequence === after.sequence) return undefined;
      const next = (await firstSealed(tx, after.sequence + 1))?.sequence ?? undefined;
      return next === after.sequence + 1 ? undefined : { kind: 'removed', next };
    });
  }

  /** The sealed events in their order, from the one after that head on. Reads page after page, each in a read of its own. */
  async *events(after?: Head): AsyncGenerator<ExportedEvent> {
    let place = { sequence: (after?.sequence ?? 0) + 1, id: '' };
    for (;;) {
      const page = await this.transactions.read((tx) => readSealed(tx, place, PAGE_SIZE));
      for (const { salt: _, ...event } of page) yield event;
      const last = page.at(-1);
      if (!last || page.length < PAGE_SIZE) return;
      place = { sequence: last.sequence as number, id: last.id };
    }
  }
}
