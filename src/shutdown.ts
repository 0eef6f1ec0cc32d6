import { setTimeout as delay } from 'node:timers/promises';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { SystemClock } from './core/clock';
import { EXIT_CODES } from './core/end-by-signal';
import type { Log } from './core/log';
import { withBudget } from './core/request-budget';
import { StartError } from './core/start-error';
import { Drain } from './http/drain';

/** Milliseconds from the moment when no connection is accepted any more until the process has ended, whatever hangs. */
const LONGEST_STOP_MS = 9_500;

/**
 * Milliseconds for connections, and for what was asked on those that are gone. An idle one may carry another request, whose answer says
 * that it is the last; whoever sends one each second is never cut off. A request under way has as long as a full hashing queue and the
 * database may take together.
 */
const DRAIN_LIMITS = { idle: 1_000, busy: 6_000 };

/** Milliseconds for what is noted in memory to be written. */
const LONGEST_FLUSH_MS = 3_000;

/**
 * Milliseconds in which further signals are the same one: npm forwards to us what the terminal has sent to all of us, and
 * supervisors repeat themselves.
 */
const ONE_SIGNAL_MS = 500;

/** What a start goes by, which may be told to stop at any moment. */
export interface Stopping {
  /** Aborted, by a StartError, as soon as the process has been told to stop. */
  readonly told: AbortSignal;
  /** From now on the service is stopped, and no longer its start. */
  serve(app: NestFastifyApplication, shutdownDelay: number): void;
  /** Ends the process after a start that has failed because it was told to stop. Any other failure is thrown on. */
  readonly giveUp: (error: unknown) => never;
}

/**
 * Stops on SIGTERM and SIGINT, from now on.
 * - During the start: it begins nothing more, and what it waits for is let be.
 * - As a service: load balancers learn of it first, for as long as the setting says; then no connection is accepted any more, requests
 *   under way are answered, and what is noted in memory is written.
 * - A second signal, more than half a second after the first, ends the process at once.
 * - After an error that nobody has caught (ASVS 16.5.4) a service stops in the same way, without waiting for load balancers: nobody knows
 *   in what state that leaves the process, but other requests had nothing to do with it.
 */
export function stopOnSignal(log: Log): Stopping {
  const clock = new SystemClock();
  const ending = { exitCode: 0 };
  const start = new AbortController();
  let stopService: ((patience: number) => void) | undefined;
  let patienceOnSignal = 0;
  let begun: number | undefined;
  const begin = (reason: object, patience: number): void => {
    begun = clock.monotonic();
    log.info(reason, 'stopping');
    start.abort(new StartError('It has been told to stop.'));
    if (stopService) stopService(patience);
    else limitTime(log);
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    if (begun === undefined) {
      begin({ signal }, patienceOnSignal);
    } else if (clock.monotonic() - begun > ONE_SIGNAL_MS) {
      log.warn({ signal }, 'The stop was cut short by a second signal');
      process.exit(EXIT_CODES[signal]);
    }
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return {
    told: start.signal,
    serve(app, shutdownDelay) {
      process.on('uncaughtException', (error, origin) => {
        // Also when the service is stopping already: that was no clean stop then.
        ending.exitCode = 1;
        log.fatal({ err: error, origin }, 'Nobody has caught this error; the process ends');
        if (begun === undefined) begin({ origin }, 0);
      });
      patienceOnSignal = shutdownDelay;
      stopService = (patience) => void stop(app, log, patience, ending);
      // No load balancer knows of it yet.
      if (start.signal.aborted) stopService(0);
    },
    giveUp(error) {
      if (!start.signal.aborted) throw error;
      if (error !== start.signal.reason) log.warn({ err: error }, 'The start failed while it was given up');
      process.exit(0);
    },
  };
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
  limitTime(log);
  try {
    await drain.finish(DRAIN_LIMITS);
    await withBudget(LONGEST_FLUSH_MS, () => app.close());
    process.exit(ending.exitCode);
  } catch (error) {
    log.error({ err: error }, 'The stop failed');
    process.exit(1);
  }
}

function limitTime(log: Log): void {
  setTimeout(() => {
    log.error('The stop took too long and was cut short');
    process.exit(1);
  }, LONGEST_STOP_MS).unref();
}
