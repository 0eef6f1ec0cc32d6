import { Tally } from '../core/tally';

/** On whose behalf something waits. */
export interface Party {
  /** Whence it came: accounts are free, networks are not. */
  network: string;
  /** The account where it is known, else the network again. */
  subject: string;
}

/**
 * What waits in one lane. Networks take turns, and so do the subjects of each; a subject's own from one network come first
 * in, first out.
 */
export class SubjectTurns<Item> {
  /** By network and subject. Whoever's turn comes next stands first. */
  private readonly items = new Map<string, Map<string, Item[]>>();
  private readonly networks = new Tally();
  private readonly subjects = new Tally();
  private total = 0;

  /** How many wait, over all of them. */
  get length(): number {
    return this.total;
  }

  /** Puts one at the end of what its subject has waiting. Who has nothing waiting comes last. */
  add({ network, subject }: Party, item: Item): void {
    const ofNetwork = this.items.get(network) ?? new Map<string, Item[]>();
    this.items.set(network, ofNetwork);
    const own = ofNetwork.get(subject);
    if (own) own.push(item);
    else ofNetwork.set(subject, [item]);
    this.recount({ network, subject }, 1);
  }

  /** Takes the first of the subject whose turn it is, in the network whose turn it is. Their next turns come after all others'. */
  next(): Item | undefined {
    const [turn] = this.items;
    if (!turn) return undefined;
    const [network, ofNetwork] = turn;
    const [[subject, own]] = ofNetwork as unknown as [[string, Item[]]];
    const item = own.shift();
    ofNetwork.delete(subject);
    if (own.length > 0) ofNetwork.set(subject, own);
    this.items.delete(network);
    if (ofNetwork.size > 0) this.items.set(network, ofNetwork);
    this.recount({ network, subject }, -1);
    return item;
  }

  /** Whether somebody has so much more waiting than who comes now that he has to give a place up to him. */
  yieldsTo(party: Party): boolean {
    return this.partyThatYieldsTo(party) !== undefined;
  }

  /** Takes the last of whoever has to give a place up. */
  dropFor(party: Party): Item | undefined {
    const dropped = this.partyThatYieldsTo(party);
    if (!dropped) return undefined;
    const { network, subject } = dropped;
    const ofNetwork = this.items.get(network);
    const own = ofNetwork?.get(subject);
    const item = own?.pop();
    if (own?.length === 0) ofNetwork?.delete(subject);
    if (ofNetwork?.size === 0) this.items.delete(network);
    this.recount(dropped, -1);
    return item;
  }

  /**
   * Who gives up a place for the newcomer, if anyone: at least two more waiting, since with one more the two would swap without end.
   * Networks are compared first; then the subject with the most, among networks that have no fewer waiting than the newcomer's.
   */
  private partyThatYieldsTo({ network, subject }: Party): Party | undefined {
    const { networks, subjects } = this;
    if (networks.most > networks.of(network) + 1) return this.greediestOf(networks.leader as string);
    if (subjects.most <= subjects.of(subject) + 1) return undefined;
    const leader = subjects.leader as string;
    const theirs = [...this.items].findLast(
      ([name, ofNetwork]) => ofNetwork.has(leader) && networks.of(name) >= networks.of(network),
    );
    return theirs && { network: theirs[0], subject: leader };
  }

  private greediestOf(network: string): Party {
    const subjects = [...(this.items.get(network) as Map<string, Item[]>)];
    const [subject] = subjects.reduce((most, other) => (other[1].length >= most[1].length ? other : most));
    return { network, subject };
  }

  private recount({ network, subject }: Party, by: 1 | -1): void {
    this.networks.change(network, by);
    this.subjects.change(subject, by);
    this.total += by;
  }
}
