import { setTimeout as delay } from 'node:timers/promises';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Clock } from './core/clock';
import type { Log } from './core/log';
import { withBudget } from './core/request-budget';
import { Drain } from './http/drain';

/** Milliseconds from the moment when no connection is accepted any more until the process has ended, whatever hangs. */
const LONGEST_STOP_MS = 9_500;

/**
 * Milliseconds for connections. An idle one may carry another request, whose answer says that it is the last; whoever
 * sends one each second is never cut off. A request under way has as long as a full hashing queue and the database may take
 * together.
 */
const DRAIN_LIMITS = { idle: 1_000, busy: 6_000 };

/** Milliseconds for what is noted in memory to be written. */
const LONGEST_FLUSH_MS = 3_000;

/**
 * Milliseconds in which further signals are the same one: npm forwards to us what the terminal has sent to all of us, and
 * supervisors repeat themselves.
 */
const ONE_SIGNAL_MS = 500;

/** By convention, the exit code of a program that a signal has ended. */
const EXIT_CODES: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 130, SIGTERM: 143 };

/**
 * Stops on SIGTERM and SIGINT. First the load balancers learn of it, for as long as the setting says; then no connection is
 * accepted any more, requests under way are answered, and what is noted in memory is written. Whoever says it again, later
 * than npm would, has it end at once. After an error that nobody has caught it stops in the same way, without waiting for load
 * balancers (ASVS 16.5.4): nobody knows in what state that leaves the process, but other requests had nothing to do with it.
 *
 * @param shutdownDelay seconds
 */
export function stopOnSignal(app: NestFastifyApplication, log: Log, shutdownDelay: number): void {
  const clock = app.get(Clock);
  const ending = { exitCode: 0 };
  let begun: number | undefined;
  const begin = (reason: object, patience: number): void => {
    begun = clock.monotonic();
    log.info(reason, 'stopping');
    void stop(app, log, patience, ending);
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    if (begun === undefined) {
      begin({ signal }, shutdownDelay);
    } else if (clock.monotonic() - begun > ONE_SIGNAL_MS) {
      log.warn({ signal }, 'The stop was cut short by a second signal');
      process.exit(EXIT_CODES[signal]);
    }
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  process.on('uncaughtException', (error, origin) => {
    // Also when the service is stopping already: that was no clean stop then.
    ending.exitCode = 1;
    log.fatal({ err: error, origin }, 'Nobody has caught this error; the process ends');
    if (begun === undefined) begin({ origin }, 0);
  });
}

async function stop(
  app: NestFastifyApplication,
  log: Log,
  shutdownDelay: number,
  ending: { readonly exitCode: number },
): Promise<void> {
  const drain = app.get(Drain);
  drain.announce();
  if (shutdownDelay > 0) {
    drain.sendAway();
    await delay(shutdownDelay * 1000);
  }
  setTimeout(() => {
    log.error('The stop took too long and was cut short');
    process.exit(1);
  }, LONGEST_STOP_MS).unref();
  try {
    await drain.finish(DRAIN_LIMITS);
    await withBudget(LONGEST_FLUSH_MS, () => app.close());
    process.exit(ending.exitCode);
  } catch (error) {
    log.error({ err: error }, 'The stop failed');
    process.exit(1);
  }
}
