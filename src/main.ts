import 'reflect-metadata';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from './app';
import { banner } from './banner';
import type { Config } from './config/config';
import { ConfigError, loadConfig } from './config/load-config';
import { createLog, type Log } from './core/log';
import { StartError } from './core/start-error';

/** Milliseconds after which a stop that hangs is cut short. */
const LONGEST_STOP_MS = 10_000;

async function main(): Promise<void> {
  // Whatever this process writes (the database, the master secret) is its owner's only.
  process.umask(0o077);
  const config = loadConfig(process.env);
  const log = createLog(config.logLevel);
  const app = await createApp(config, log);
  const address = await listen(app, config);
  stopOnSignal(app, log);
  if (config.production) log.info({ address }, 'listening');
  else process.stdout.write(banner(address, config));
}

async function listen(app: NestFastifyApplication, { host, port }: Config): Promise<string> {
  try {
    // Not the framework's own way, which logs a failure with its stack before anybody can put it into words.
    return await app.getHttpAdapter().getInstance().listen({ host, port });
  } catch (error) {
    await app.close();
    throw new StartError(describeListenFailure(error as NodeJS.ErrnoException, host, port), error);
  }
}

function describeListenFailure({ code }: NodeJS.ErrnoException, host: string, port: number): string {
  switch (code) {
    case 'EADDRINUSE':
      return `Port ${port} on ${host} is in use; stop the other program, or set PORT to a free one.`;
    case 'EACCES':
      return `Port ${port} needs more rights than this process has; set PORT to one above 1023.`;
    default:
      return `Cannot listen on ${host}:${port} (${code ?? 'unknown reason'}); check HOST and PORT.`;
  }
}

/**
 * Stops cleanly on SIGTERM and SIGINT, once: npm forwards a signal that the terminal has sent already, and a second one must
 * not cut the first short.
 */
function stopOnSignal(app: NestFastifyApplication, log: Log): void {
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping');
    setTimeout(() => {
      log.error('The stop took too long and was cut short');
      process.exit(1);
    }, LONGEST_STOP_MS).unref();
    app.close().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'The stop failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

main().catch((error: unknown) => {
  const expected = error instanceof StartError || error instanceof ConfigError;
  process.stderr.write(
    `Latchkey cannot start. ${expected ? error.message : String((error as Error).stack)}\n`,
  );
  process.exit(1);
});
