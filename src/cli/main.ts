import './heed-signals';
import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import type { INestApplicationContext } from '@nestjs/common';
import { createContext } from '../app';
import type { Config } from '../config/config';
import { loadConfig } from '../config/load-config';
import { SystemClock } from '../core/clock';
import { createLog, STANDARD_ERROR } from '../core/log';
import type { Command, Surroundings } from './command';
import { parseLine } from './command-line';
import { COMMANDS } from './commands';
import { exitWith } from './failure';
import { asksForHelp, explain } from './help';
import { Progress } from './progress';
import { requireInitialized } from './require-initialized';
import { flushed, printAnswer } from './standard-output';
import { guardStandardStreams } from './standard-streams';

/** Milliseconds for closing what a command has opened, which a server that hangs can hold up for ever. What it did is done by then. */
const LONGEST_CLOSE_MS = 3_000;

/** Milliseconds in which the process ends by itself, once all is done and said. */
const LONGEST_END_MS = 500;

async function main(line: string[], environment: Surroundings['environment']): Promise<void> {
  // The database that a first command makes is its owner's only, like one that the server makes.
  process.umask(0o077);
  if (asksForHelp(line)) {
    process.stdout.write(explain(line, COMMANDS));
    return;
  }
  const { command, given, json } = parseLine(line, COMMANDS);
  let opened: Promise<INestApplicationContext> | undefined;
  const config = () => loadConfig(environment);
  const services = () => (opened ??= open(config(), command));
  const progress = new Progress(new SystemClock());
  try {
    const answer = await command.run(given, { environment, json, progress, config, services });
    // First: where nobody takes the answer, printing it is the end of the process.
    if ('bad' in answer && answer.bad) process.exitCode = 1;
    await printAnswer(answer, json, progress);
  } finally {
    progress.end();
    // One that could not be opened has been told of already.
    await opened?.then(close, () => undefined);
  }
}

async function open(config: Config, command: Command): Promise<INestApplicationContext> {
  await requireInitialized(config, command);
  return createContext(config, createLog('warn', STANDARD_ERROR));
}

async function close(context: INestApplicationContext): Promise<void> {
  const closed = new AbortController();
  const longest = delay(LONGEST_CLOSE_MS, undefined, closed).catch(() => undefined);
  // A pause that nobody ends would keep the process from ending by itself.
  await Promise.race([context.close(), longest]).finally(() => closed.abort());
}

const line = process.argv.slice(2);
const json = line.includes('--json');
guardStandardStreams({ json, failure: 1 });
void main(line, process.env)
  .catch((error: unknown) => exitWith(error, json))
  .then(flushed)
  // Whatever is open still, such as a connection that a hung server does not end, is let be. By itself the process ends tidily: an
  // SQLite file is closed only when its last statement is gone from memory.
  .finally(() => setTimeout(() => process.exit(), LONGEST_END_MS).unref());
