import { Injectable } from '@nestjs/common';
import { Transactions } from '../database/transactions';
import {
  deletedAmong,
  firstSealed,
  isBlank,
  readHead,
  readSealed,
  readUnsealed,
  type StoredEvent,
} from './chained-events';
import { BEGINNING, EventSeal, type Head, isReplaced } from './event-seal';

/** Events in memory at a time. */
const PAGE_SIZE = 500;

/** Behind every id. */
const LAST_ID = '~';

/** What can be wrong. */
export type FaultKind =
  | 'missing'
  | 'out_of_place'
  | 'altered'
  | 'details_altered'
  | 'doubtful'
  | 'tail_missing'
  | 'head_replaced'
  | 'head_set_back';

/** The first thing that is wrong. */
export interface Fault {
  kind: FaultKind;
  /** The place in the chain; `null` for an event that has none yet. */
  sequence: number | null;
  eventId: string | null;
  message: string;
}

/** What a verification found. */
export interface Verdict {
  intact: boolean;
  fault: Fault | null;
  /** Sealed events that were found to be as they should. */
  verified: number;
  /** The last of them; what to keep elsewhere. */
  head: Head;
  /** Events that are not sealed yet. */
  unsealed: number;
  /** Sealed events that came without a mark, as an older release writes them, and the last place of one. */
  adopted: { count: number; lastSequence: number | null };
}

/** What to hold the chain against. */
export interface Expectations {
  /** Begin behind this head, whatever lies before it. */
  after?: Head | undefined;
  /** A head that was exported: the chain must have come this far, by this link. */
  head?: Head | undefined;
}

/** Goes through the audit trail from event to event, and stops at the first that is not as it was sealed. */
@Injectable()
export class AuditVerifier {
  constructor(
    private readonly transactions: Transactions,
    private readonly seal: EventSeal,
  ) {}

  /**
   * Verifies the chain. Reads pages, never more than one at a time, each in a read of its own; works while events
   * are recorded and sealed.
   *
   * @param onProgress told after each page how many events have been found as they should be
   * @throws ApiError `service_unavailable`
   */
  async verify(
    { after, head: exported }: Expectations = {},
    onProgress: (verified: number) => void = () => undefined,
  ): Promise<Verdict> {
    const verdict: Verdict = {
      ...{ intact: true, fault: null, verified: 0, head: after ?? BEGINNING, unsealed: 0 },
      adopted: { count: 0, lastSequence: null },
    };
    const kept = await this.transactions.read(readHead);
    verdict.fault =
      (after && (await this.checkStart(after))) ??
      (await this.checkSealed(verdict, [exported, kept], onProgress)) ??
      (await this.checkEnd(verdict, [exported, kept])) ??
      (await this.checkUnsealed(verdict)) ??
      null;
    verdict.intact = verdict.fault === null;
    return verdict;
  }

  /** Where the event of that head is still there, it must have the link of that head. */
  private async checkStart(after: Head): Promise<Fault | undefined> {
    const event = await this.transactions.read((tx) => firstSealed(tx, after.sequence));
    return event && headFault(after, event);
  }

  private async checkSealed(
    verdict: Verdict,
    heads: readonly (Head | undefined)[],
    onProgress: (verified: number) => void,
  ): Promise<Fault | undefined> {
    let after =
      verdict.head === BEGINNING
        ? { sequence: Number.MIN_SAFE_INTEGER, id: '' }
        : { sequence: verdict.head.sequence, id: LAST_ID };
    for (;;) {
      const page = await this.transactions.read((tx) => readSealed(tx, after, PAGE_SIZE));
      const deleted = await this.accountsDeleted(page);
      for (const event of page) {
        const fault =
          this.checkLink(verdict, event) ??
          this.checkDetails(event, deleted) ??
          heads.map((head) => head && headFault(head, event)).find(Boolean);
        if (fault) return fault;
        verdict.verified += 1;
        verdict.head = { sequence: event.sequence as number, link: event.link as string };
        after = { sequence: event.sequence as number, id: event.id };
      }
      onProgress(verdict.verified);
      if (page.length < PAGE_SIZE) return undefined;
    }
  }

  /** Whether the event stands where it should, and is what was sealed there. */
  private checkLink(verdict: Verdict, event: StoredEvent): Fault | undefined {
    const { head, adopted } = verdict;
    const sequence = event.sequence as number;
    const expected = head.sequence + 1;
    if (sequence > expected) return faultAt('missing', expected, null);
    if (sequence < expected) return faultAt('out_of_place', sequence, event.id);
    const finding = this.seal.findingOf(head, event, event.digest ?? '', event.link ?? '');
    if (!finding) return faultAt('altered', sequence, event.id);
    if (finding === 'doubtful') return faultAt('doubtful', sequence, event.id);
    if (finding === 'adopted') {
      adopted.count += 1;
      adopted.lastSequence = sequence;
    }
    return undefined;
  }

  /** Details may only be gone where the account is gone. */
  private checkDetails(event: StoredEvent, deleted: Set<string>): Fault | undefined {
    const { salt, digest } = event;
    const right =
      salt === null
        ? isBlank(event) && deleted.has(event.userId)
        : digest !== null && this.seal.fits(event, salt, digest);
    return right ? undefined : faultAt('details_altered', event.sequence, event.id);
  }

  private accountsDeleted(page: StoredEvent[]): Promise<Set<string>> {
    const blank = page.filter(({ salt }) => salt === null).map(({ userId }) => userId);
    return this.transactions.read((tx) => deletedAmong(tx, blank));
  }

  /** Whether the chain came as far as it was known to, and its own row agrees. */
  private async checkEnd(
    { head }: Verdict,
    heads: readonly (Head | undefined)[],
  ): Promise<Fault | undefined> {
    const longest = Math.max(...heads.map((known) => known?.sequence ?? 0));
    if (longest > head.sequence) return faultAt('tail_missing', head.sequence + 1, null);
    // An event and the head move in one transaction, so whoever saw the one sees the other.
    const kept = await this.transactions.read(readHead);
    return kept.sequence < head.sequence ? faultAt('head_set_back', kept.sequence, null) : undefined;
  }

  /** Events that wait for their place have a mark already, unless an older release wrote them. */
  private async checkUnsealed(verdict: Verdict): Promise<Fault | undefined> {
    let afterId = '';
    for (;;) {
      const page = await this.transactions.read((tx) => readUnsealed(tx, afterId, PAGE_SIZE));
      for (const event of page) {
        const { digest, salt } = event;
        const right = digest === null || (salt !== null && this.seal.fits(event, salt, digest));
        if (!right) return faultAt('altered', null, event.id);
        verdict.unsealed += 1;
        afterId = event.id;
      }
      if (page.length < PAGE_SIZE) return undefined;
    }
  }
}

function headFault(head: Head, event: StoredEvent): Fault | undefined {
  return isReplaced(head, event) ? faultAt('head_replaced', head.sequence, event.id) : undefined;
}

const SENTENCES: Record<FaultKind, string> = {
  missing: 'is missing',
  out_of_place: 'stands where another one has its place, or before the first',
  altered: 'is not the one that was recorded, or its secret is no longer among AUTH_SECRET_PREVIOUS',
  details_altered: 'has other details than were recorded, or lost them though its account was not deleted',
  doubtful: 'was altered or slipped in before it was sealed, or its secret was not known to who sealed it',
  tail_missing: 'and all behind it are missing: the chain had come further',
  head_replaced: 'is not the one that was there when the head was taken',
  head_set_back: 'is what the table audit_chain takes for the last, but the chain had come further',
};

function faultAt(kind: FaultKind, sequence: number | null, eventId: string | null): Fault {
  const place = sequence === null ? 'that waits to be sealed' : `number ${sequence}`;
  const name = eventId === null ? '' : ` (${eventId})`;
  return { kind, sequence, eventId, message: `Event ${place}${name} ${SENTENCES[kind]}.` };
}
