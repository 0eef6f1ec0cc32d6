import { Readable } from 'node:stream';
import type { INestApplicationContext } from '@nestjs/common';
import { createContext, type Replacements } from '../../src/app';
import type { Report } from '../../src/cli/command';
import { parseLine } from '../../src/cli/command-line';
import { COMMANDS } from '../../src/cli/commands';
import { Progress } from '../../src/cli/progress';
import { printAnswer } from '../../src/cli/standard-output';
import { loadConfig } from '../../src/config/load-config';
import { type Clock, SystemClock } from '../../src/core/clock';
import { createLog } from '../../src/core/log';
import { CHEAP_HASH } from './app';

/** The operator's commands without a process for each: an instance of its own, beside whatever runs on that database. */
export class OperatorDesk {
  private context: Promise<INestApplicationContext> | undefined;

  /** @param settings as environment variables */
  constructor(
    private readonly settings: Record<string, string>,
    private readonly given: Pick<Replacements, 'clock'> & { progress?: Clock } = {},
  ) {}

  /** What a command reports. */
  async report(...line: string[]): Promise<Report> {
    const answer = await this.answer(line);
    if ('rows' in answer) throw new Error('These are rows');
    return answer;
  }

  /** The rows that a command prints. */
  async rows<Row = Record<string, unknown>>(...line: string[]): Promise<Row[]> {
    const answer = await this.answer(line);
    if (!('rows' in answer)) throw new Error('This is a report');
    return (await Readable.from(answer.rows).toArray()) as Row[];
  }

  /** What a command writes while somebody looks on, on standard output and on standard error. */
  async written(...line: string[]): Promise<{ stdout: string; stderr: string }> {
    const written = { stdout: '', stderr: '' };
    const spies = (['stdout', 'stderr'] as const).map((name) =>
      jest.spyOn(process[name], 'write').mockImplementation((text) => {
        written[name] += String(text);
        return true;
      }),
    );
    const progress = this.progress();
    try {
      const answer = await this.answer(line, progress);
      await printAnswer(answer, line.includes('--json'), progress);
    } finally {
      progress.end();
      for (const spy of spies) spy.mockRestore();
    }
    return written;
  }

  async close(): Promise<void> {
    await (await this.context)?.close();
  }

  private services(): Promise<INestApplicationContext> {
    return (this.context ??= createContext(loadConfig(this.settings), createLog('silent'), {
      ...{ hashCost: CHEAP_HASH, ...this.given },
    }));
  }

  private progress(): Progress {
    return new Progress(this.given.progress ?? new SystemClock());
  }

  private answer(line: string[], progress = this.progress()) {
    const { command, given, json } = parseLine(line, COMMANDS);
    return command.run(given, {
      environment: this.settings,
      ...{ json, progress },
      config: () => loadConfig(this.settings),
      services: () => this.services(),
    });
  }
}
