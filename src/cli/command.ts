import type { INestApplicationContext } from '@nestjs/common';
import type { Config } from '../config/config';
import type { Progress } from './progress';

/** What a command found or did, for people and for programs. */
export interface Report {
  text: string;
  data: object;
  /** The command did its work, and what it found is bad news: exit code 1. */
  bad?: boolean;
}

/** Rows, however many: they are printed as they come, so none has to be kept. */
export interface Listing {
  rows: AsyncIterable<object>;
  /** How people see it; without it they see what programs do, a JSON object a line. */
  table?: Table;
}

/** Rows as lines of columns. The last column may be of any width. */
export interface Table {
  columns: { heading: string; width: number }[];
  cells(row: never): string[];
}

/** What stands on the command line behind the command's name. */
export interface Given {
  /** Words that are no options. */
  words: string[];
  /** Options with a value. */
  options: Partial<Record<string, string>>;
  /** Options without. */
  flags: ReadonlySet<string>;
}

/** What a command works with. What it does not ask for is neither read nor opened. */
export interface Surroundings {
  environment: Readonly<Record<string, string | undefined>>;
  /** Whether the answer is for a program. */
  json: boolean;
  /** Where a command that may take long says how far it has come, and whatever else is no answer. */
  progress: Progress;
  /** @throws ConfigError */
  config: () => Config;
  /**
   * The application's services over the database, which is opened, and brought up to date, at the first call.
   *
   * @throws ConfigError, StartError
   */
  services: () => Promise<INestApplicationContext>;
}

export interface CommandOption {
  /** What stands behind it, in capitals; absent where it stands alone. */
  value?: string;
  /** Whether there is no command without it. */
  required?: true;
  summary: string;
}

export interface Example {
  line: string;
  /** What it is for. */
  purpose: string;
}

/** A command of `latchkey`. */
export interface Command {
  /** What it is about, and what is done: one word or two. */
  name: string;
  /** The words that belong behind the name, as they are shown; none: nothing but options. */
  parameters?: { shown: string; least: number; most: number; missing: string };
  summary: string;
  options?: Record<string, CommandOption>;
  /** As typed behind `latchkey`. */
  examples: Example[];
  /**
   * May be the first to open the services over a database, which is set up for Latchkey then; an SQLite file is made, with its secret.
   * Every other command refuses a database that is not set up.
   */
  mayInitialize?: boolean;
  /**
   * Answers with a report at the end, or with rows as they come.
   *
   * @throws UsageError, CommandError, ApiError, ConfigError, StartError
   */
  run(given: Given, surroundings: Surroundings): Promise<Report | Listing>;
}

/** The command line cannot be understood. */
export class UsageError extends Error {}

/** The command cannot be carried out; the message says why. */
export class CommandError extends Error {}
