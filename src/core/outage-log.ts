import type { Log } from './log';

/** How an outage is told of. */
export interface OutageSentences {
  begun: string;
  over: string;
}

/**
 * Logs that something does not work when it begins to fail, and that it works again. What is tried again and again would
 * otherwise fill the disk with one line a try.
 */
export class OutageLog {
  private failing = false;

  constructor(
    private readonly log: Log,
    private readonly sentences: OutageSentences,
  ) {}

  /** Whether the last try failed. */
  get isFailing(): boolean {
    return this.failing;
  }

  /** A try has failed. */
  failed(error: unknown, details: object = {}): void {
    if (!this.failing) this.log.warn({ err: error, ...details }, this.sentences.begun);
    this.failing = true;
  }

  /** A try has succeeded. */
  succeeded(): void {
    if (this.failing) this.log.info(this.sentences.over);
    this.failing = false;
  }

  /** The next failure is told of, whatever came before: nobody will make up for it. */
  expectLastTry(): void {
    this.failing = false;
  }
}
