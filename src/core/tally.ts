/** How many there are of each. Whoever has the most is found without a search. */
export class Tally {
  private readonly counts = new Map<string, number>();
  /** Names by how many they have. */
  private readonly having = new Map<number, Set<string>>();
  private highest = 0;

  /** How many the one with the most has. */
  get most(): number {
    return this.highest;
  }

  /** One of those with the most, if there is anybody. */
  get leader(): string | undefined {
    const [leader] = this.having.get(this.highest) ?? [];
    return leader;
  }

  of(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  /** One more or less: the most there are of any can change by no more than one either. */
  change(name: string, by: 1 | -1): void {
    const before = this.of(name);
    const now = before + by;
    const peers = this.having.get(before);
    peers?.delete(name);
    if (peers?.size === 0) this.having.delete(before);
    if (now > 0) {
      this.counts.set(name, now);
      this.having.set(now, (this.having.get(now) ?? new Set()).add(name));
    } else this.counts.delete(name);
    if (now > this.highest || (before === this.highest && !this.having.has(before))) this.highest = now;
  }
}
