import './keep-signals';
import 'reflect-metadata';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from './app';
import { banner } from './banner';
import type { Config } from './config/config';
import { ConfigError, loadConfig } from './config/load-config';
import { createLog } from './core/log';
import { StartError } from './core/start-error';
import { WAITING_CONNECTIONS } from './http/connections';
import { MetricsServer } from './observability/metrics-server';
import { stopOnSignal } from './shutdown';

async function main(): Promise<void> {
  // Whatever this process writes (the database, the master secret) is its owner's only.
  process.umask(0o077);
  const config = loadConfig(process.env);
  const log = createLog(config.logLevel);
  const stopping = stopOnSignal(log);
  const app = await createApp(config, log, {}, stopping.told).catch(stopping.giveUp);
  stopping.serve(app, config.shutdownDelay);
  if (stopping.told.aborted) return;
  const address = await listen(app, config).catch(stopping.giveUp);
  if (config.production) log.info({ address }, 'listening');
  else process.stdout.write(banner(address, config));
}

/** A port that the settings ask for: the API's, or that of the metrics. */
interface Listener {
  setting: 'PORT' | 'METRICS_PORT';
  port: number;
  listen: () => Promise<unknown>;
}

/** @returns the address of the API */
async function listen(app: NestFastifyApplication, config: Config): Promise<string> {
  const { host, port, metricsPort = 0 } = config;
  const server = app.getHttpAdapter().getInstance();
  const metrics = app.get(MetricsServer);
  // Not the framework's own way, which logs a failure with its stack before anybody can put it into words.
  const listeners: Listener[] = [
    { setting: 'METRICS_PORT', port: metricsPort, listen: () => metrics.listen() },
    { setting: 'PORT', port, listen: () => server.listen({ host, port, backlog: WAITING_CONNECTIONS }) },
  ];
  for (const listener of listeners) {
    try {
      await listener.listen();
    } catch (error) {
      await app.close();
      throw new StartError(describeListenFailure(error as NodeJS.ErrnoException, host, listener), error);
    }
  }
  return server.listeningOrigin;
}

function describeListenFailure(
  { code }: NodeJS.ErrnoException,
  host: string,
  { setting, port }: Listener,
): string {
  switch (code) {
    case 'EADDRINUSE':
      return `Port ${port} on ${host} is in use; stop the other program, or set ${setting} to a free one.`;
    case 'EACCES':
      return `Port ${port} needs more rights than this process has; set ${setting} to one above 1023.`;
    default:
      return `Cannot listen on ${host}:${port} (${code ?? 'unknown reason'}); check HOST and ${setting}.`;
  }
}

main().catch((error: unknown) => {
  const expected = error instanceof StartError || error instanceof ConfigError;
  process.stderr.write(
    `Latchkey cannot start. ${expected ? error.message : String((error as Error).stack)}\n`,
  );
  process.exit(1);
});
