import { setTimeout as delay } from 'node:timers/promises';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Clock } from './core/clock';
import type { Log } from './core/log';
import { withDeadline } from './core/request-deadline';
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
 * than npm would, has it end at once.
 *
 * @param shutdownDelay seconds
 */
export function stopOnSignal(app: NestFastifyApplication, log: Log, shutdownDelay: number): void {
  const clock = app.get(Clock);
  let begun: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (begun === undefined) {
      begun = clock.monotonic();
      log.info({ signal }, 'stopping');
      void stop(app, log, shutdownDelay);
    } else if (clock.monotonic() - begun > ONE_SIGNAL_MS) {
      log.warn({ signal }, 'The stop was cut short by a second signal');
      process.exit(EXIT_CODES[signal]);
    }
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

async function stop(app: NestFastifyApplication, log: Log, shutdownDelay: number): Promise<void> {
  const drain = app.get(Drain);
  drain.begin();
  if (shutdownDelay > 0) await delay(shutdownDelay * 1000);
  setTimeout(() => {
    log.error('The stop took too long and was cut short');
    process.exit(1);
  }, LONGEST_STOP_MS).unref();
  try {
    await drain.finish(DRAIN_LIMITS);
    const deadline = app.get(Clock).monotonic() + LONGEST_FLUSH_MS;
    await withDeadline(deadline, () => app.close());
    process.exit(0);
  } catch (error) {
    log.error({ err: error }, 'The stop failed');
    process.exit(1);
  }
}
