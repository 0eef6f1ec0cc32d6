import type { Clock } from '../core/clock';

/** Milliseconds between two signs of life: on a terminal, which is written over, and in a log. */
const TERMINAL_INTERVAL_MS = 200;
const LOG_INTERVAL_MS = 10_000;

/** How far a long command has come, on standard error: one line that changes on a terminal, else a line now and then. */
export class Progress {
  private readonly terminal = process.stderr.isTTY === true;
  private last: number;
  private dirty = false;

  constructor(private readonly clock: Clock) {
    this.last = clock.monotonic();
  }

  show(text: string): void {
    const now = this.clock.monotonic();
    if (now - this.last < (this.terminal ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS)) return;
    this.last = now;
    process.stderr.write(this.terminal ? `\r\u001b[K${text}` : `${text}\n`);
    this.dirty = this.terminal;
  }

  /** Writes a line that stays, not behind the one that changes. */
  tell(line: string): void {
    this.end();
    process.stderr.write(`${line}\n`);
  }

  /** Leaves a terminal with an empty line to write on. */
  end(): void {
    if (this.dirty) process.stderr.write('\r\u001b[K');
    this.dirty = false;
  }
}

/** Says how many rows a list has looked at: of few that fit among millions there is nothing to be seen for long. */
export function lookedAt(progress: Progress): (rows: number) => void {
  return (rows) => {
    // There a row may come at any moment, and this would stand in its way.
    if (!process.stdout.isTTY) progress.show(`${rows} rows looked at`);
  };
}
