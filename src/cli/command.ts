import type { INestApplicationContext } from '@nestjs/common';
import type { ParseArgsConfig } from 'node:util';

/** What a command found or did, for people and for programs. */
export interface Report {
  text: string;
  data: object;
  /** The command did its work, and what it found is bad news: exit code 1. */
  bad?: boolean;
}

/** Writes a line to standard output; resolves when there is room for the next. */
export type Print = (line: string) => Promise<void>;

/** What stands on the command line behind the command's name. */
export interface Given {
  /** Words that are no options. */
  words: string[];
  /** Options with a value. */
  options: Record<string, string | undefined>;
}

/** A command of `latchkey`. */
export interface Command {
  /** What it is about, and what is done: one word or two. */
  name: string;
  /** What may stand behind the name. */
  parameters: string;
  summary: string;
  options?: NonNullable<ParseArgsConfig['options']>;
  /**
   * Answers with a report at the end, or with lines as it goes.
   *
   * @throws UsageError, CommandError, ApiError
   */
  run(context: INestApplicationContext, given: Given, print: Print): Promise<Report | void>;
}

/** The command line cannot be understood. */
export class UsageError extends Error {}

/** The command cannot be carried out; the message says why. */
export class CommandError extends Error {}
