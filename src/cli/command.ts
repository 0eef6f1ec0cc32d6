import type { INestApplicationContext } from '@nestjs/common';
import type { ParseArgsConfig } from 'node:util';

/** What a command found or did, for people and for programs. */
export interface Report {
  text: string;
  data: object;
}

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
  /** @throws UsageError, CommandError, ApiError */
  run(context: INestApplicationContext, given: Given): Promise<Report>;
}

/** The command line cannot be understood. */
export class UsageError extends Error {}

/** The command cannot be carried out; the message says why. */
export class CommandError extends Error {}
