/** What waits in one lane, by subject. The subjects take turns; each one's own come first in, first out. */
export class SubjectTurns<Item> {
  /** Whoever's turn comes next stands first. */
  private readonly items = new Map<string, Item[]>();
  /** Subjects by how many they have waiting: the one with the most is found without a search. */
  private readonly having = new Map<number, Set<string>>();
  private most = 0;
  private total = 0;

  /** How many wait, over all subjects. */
  get length(): number {
    return this.total;
  }

  /** How many of the subject wait. */
  of(subject: string): number {
    return this.items.get(subject)?.length ?? 0;
  }

  /** How many wait of the subject that has the most. */
  get longest(): number {
    return this.most;
  }

  /** Puts one at the end of what the subject has waiting. A subject that has nothing waiting comes last. */
  add(subject: string, item: Item): void {
    const own = this.items.get(subject);
    if (own) own.push(item);
    else this.items.set(subject, [item]);
    this.recount(subject, 1);
  }

  /** Takes the first of the subject whose turn it is. Its next turn comes after those of all others. */
  next(): Item | undefined {
    const [turn] = this.items;
    if (!turn) return undefined;
    const [subject, own] = turn;
    const item = own.shift();
    this.recount(subject, -1);
    this.items.delete(subject);
    if (own.length > 0) this.items.set(subject, own);
    return item;
  }

  /** Takes the last of the subject that has the most. */
  dropLast(): Item | undefined {
    const [subject] = this.having.get(this.most) ?? [];
    if (subject === undefined) return undefined;
    const own = this.items.get(subject);
    const item = own?.pop();
    this.recount(subject, -1);
    if (own?.length === 0) this.items.delete(subject);
    return item;
  }

  /** One more or less of the subject: the most there are of any can change by no more than one either. */
  private recount(subject: string, change: 1 | -1): void {
    const now = this.of(subject);
    const before = now - change;
    const peers = this.having.get(before);
    peers?.delete(subject);
    if (peers?.size === 0) this.having.delete(before);
    if (now > 0) this.having.set(now, (this.having.get(now) ?? new Set()).add(subject));
    this.total += change;
    if (now > this.most || (before === this.most && !this.having.has(before))) this.most = now;
  }
}
