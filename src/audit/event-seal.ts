import { Injectable } from '@nestjs/common';
import { KeyedDigest, type Markable } from '../crypto/keyed-digest';
import { KeyRing } from '../crypto/key-ring';

/** How far a chain has come: the place of its last event, and that event's link. */
export interface Head {
  sequence: number;
  link: string;
}

/** Before the first event. */
export const BEGINNING: Head = { sequence: 0, link: '' };

/** Whether another event stands in the place of the one that a head was taken from; nothing is known of other places. */
export function isReplaced(head: Head, known: { [Key in keyof Head]: Head[Key] | null }): boolean {
  return known.sequence === head.sequence && known.link !== head.link;
}

/** What of an event stays for ever. */
export interface EventCore {
  id: string;
  occurredAt: Date;
  type: string;
  reason: string | null;
  userId: string;
  credentialId: string | null;
}

/** What of an event goes with the account. */
export interface EventDetails {
  ip: string;
  userAgent: string | null;
  requestId: string;
}

/**
 * What the sealer found: `recorded` with a mark of ours, `adopted` without any, as an older release writes it, or `doubtful`
 * with one that does not fit. The link covers it, so that it cannot be made up for afterwards.
 */
const FINDINGS = ['recorded', 'adopted', 'doubtful'] as const;
export type Finding = (typeof FINDINGS)[number];

/** The two keyed digests that hold the audit trail together: each event's own, and the links from one to the next. */
@Injectable()
export class EventSeal {
  private readonly events: KeyedDigest;
  private readonly chain: KeyedDigest;

  constructor(keys: KeyRing) {
    this.events = new KeyedDigest(keys.auditEvent);
    this.chain = new KeyedDigest(keys.auditChain);
  }

  /** The event's digest: over all that is known of it and a salt. */
  digestOf(event: EventCore & EventDetails, salt: string): string {
    return this.events.of(wholeEvent(event, salt));
  }

  /** Whether `digest` is that of the event as it stands. */
  fits(event: EventCore & EventDetails, salt: string, digest: string): boolean {
    return this.events.matches(wholeEvent(event, salt), digest);
  }

  /** The link by which the event follows `head`. Covers the details through the digest only, so they can go. */
  linkOf(head: Head, event: EventCore, digest: string, finding: Finding): string {
    return this.chain.of(nextLink(head, event, digest, finding));
  }

  /** What the sealer found of an event whose link is `link`; undefined when it does not follow `head` at all. */
  findingOf(head: Head, event: EventCore, digest: string, link: string): Finding | undefined {
    return FINDINGS.find((finding) => this.chain.matches(nextLink(head, event, digest, finding), link));
  }
}

function core({ id, occurredAt, type, reason, userId, credentialId }: EventCore): Markable {
  return [id, occurredAt.toISOString(), type, reason, userId, credentialId];
}

function wholeEvent(event: EventCore & EventDetails, salt: string): Markable {
  const { ip, userAgent, requestId } = event;
  return [salt, ...core(event), ip, userAgent, requestId];
}

function nextLink(head: Head, event: EventCore, digest: string, finding: Finding): Markable {
  return [head.link, head.sequence + 1, finding, ...core(event), digest];
}
