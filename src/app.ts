import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DynamicModule, INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type FastifyBaseLogger, LogController } from 'fastify';
import { ProxyWatch } from './access/proxy-watch';
import { AppModule } from './app.module';
import { AuditSealer } from './audit/audit-sealer';
import { hasEvents } from './audit/trail-state';
import type { Config } from './config/config';
import { refuseSharedSecret } from './config/load-config';
import { readOrCreateMasterSecret } from './config/master-secret';
import { projectRoot } from './config/project-root';
import { type Clock, KeptClock, SystemClock } from './core/clock';
import { Failpoints } from './core/failpoints';
import { Ids } from './core/ids';
import { acceptJsonBodies, BODY_LIMIT } from './core/json-body';
import { FrameworkLog, type Log } from './core/log';
import { type Random, SystemRandom } from './core/random';
import { StartError } from './core/start-error';
import type { HashCost } from './crypto/password-hasher';
import { openDatabase } from './database/open-database';
import { entities } from './entities';
import { answerUnparsable, answerUnroutable } from './http/broken-requests';
import { CONNECTION_LIMITS, guardConnections } from './http/connections';
import { shareWithOrigins } from './http/cors';
import { Drain } from './http/drain';
import { answerByTheLetter } from './http/exact-paths';
import { acceptForms } from './http/form-body';
import { measureRequests, traceRequests } from './http/observed-requests';
import { limitRequestTime } from './http/request-time';
import { describeEveryResponse } from './http/response-headers';
import { leaveBodiesUnread } from './http/route-traits';
import { MetricsServer } from './observability/metrics-server';
import { type Observability, openObservability, UNSEEN } from './observability/observability';
import { serveApiDocs } from './openapi/serve-docs';
import { addressNetwork } from './rate-limit/address-block';
import { CounterKeeper } from './rate-limit/counter-keeper';
import { workerFile } from './worker-file';

/** Where the API begins. Health checks and documents lie outside. */
export const BASE_PATH = 'api/v1';

const NO_LIMITS =
  'RATE_LIMITS=off: nothing is limited, and passwords can be guessed as fast as they are hashed; never run the public service like this';

/** What a test puts in the place of the real thing. */
export interface Replacements {
  clock?: Clock;
  random?: Random;
  failpoints?: Failpoints;
  hashCost?: HashCost;
}

/** The modules of the application and what the HTTP server needs of them. */
interface Assembly {
  module: DynamicModule;
  ids: Ids;
}

/** Reads the secrets, opens and migrates the database, and puts the modules together over them. */
async function assemble(
  config: Config,
  log: Log,
  observability: Observability,
  replacements: Replacements,
  stop?: AbortSignal,
): Promise<Assembly> {
  const { hashCost } = replacements;
  const {
    clock = new KeptClock(new SystemClock()),
    random = new SystemRandom(),
    failpoints = new Failpoints(),
  } = replacements;
  await refuseLostSecret(config);
  const master = config.authSecret ?? readOrCreateMasterSecret(config.secretFile as string, random);
  refuseSharedSecret(config, master);
  const secrets = {
    master,
    previous: config.previousAuthSecrets,
    accessToken: config.jwtSecret,
  };
  const dataSource = await openDatabase(config.database, entities, log, stop);
  const ids = new Ids(clock, random);
  const hashWorkerFile = workerFile('crypto', 'hash-worker.js');
  const strengthFiles = {
    worker: workerFile('passwords', 'strength-worker.js'),
    commonPasswords: join(projectRoot(), 'common-passwords.bin'),
  };
  const module = AppModule.forRoot({
    ...{ config, secrets, dataSource, hashWorkerFile, hashCost, strengthFiles },
    ...{ log, clock, random, ids, failpoints, ...observability },
  });
  return { module, ids };
}

/**
 * A new secret in the place of one that is lost would end all sessions, and what it seals in the audit trail could never be told from
 * forgeries. Where previous ones are named it is being changed.
 */
async function refuseLostSecret(config: Config): Promise<void> {
  const { authSecret, secretFile, previousAuthSecrets, database } = config;
  if (authSecret !== undefined || secretFile === undefined || existsSync(secretFile)) return;
  if (previousAuthSecrets.length > 0 || !(await hasEvents(database))) return;
  // Another process may have made one, and recorded something, meanwhile.
  if (existsSync(secretFile)) return;
  throw new StartError(
    `There is no master secret ${secretFile}, though the database was used with one: put it back as it was backed up, or set AUTH_SECRET. If it is lost, docs/operations.md says how to go on with a new one.`,
  );
}

/**
 * The whole application, ready to listen: database migrated, secrets read, routes in place. The tests use it too.
 *
 * @param stop aborted when the process is to end: the database is not opened any more
 * @throws StartError, ConfigError; the reason of `stop`
 */
export async function createApp(
  config: Config,
  log: Log,
  replacements: Replacements = {},
  stop?: AbortSignal,
): Promise<NestFastifyApplication> {
  const { random = new SystemRandom() } = replacements;
  const observability = openObservability(config, random, log);
  const { module, ids } = await assemble(config, log, observability, { ...replacements, random }, stop);
  if (!config.rateLimits) log.warn(NO_LIMITS);
  const adapter = new FastifyAdapter({
    // The server's own news (that it listens, that a path is unknown) is told elsewhere.
    loggerInstance: log.child({}, { level: log.isLevelEnabled('warn') ? 'warn' : log.level }),
    // As it is for every request: one of its own would be made for each, and hardly ever be used.
    childLoggerFactory: (logger: FastifyBaseLogger) => logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => ids.next('req'),
    trustProxy: trustedProxies(config.trustProxy),
    bodyLimit: BODY_LIMIT,
    ...CONNECTION_LIMITS,
    clientErrorHandler: answerUnparsable(ids),
    frameworkErrors: answerUnroutable,
    // Would be answered in another shape than every other error; what still comes is answered like the rest.
    return503OnClosing: false,
    // An id of any length is an id that is not found; the length of the whole request line is bounded by the server.
    routerOptions: { maxParamLength: 16_384 },
  });
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    logger: new FrameworkLog(log),
    abortOnError: false,
    bodyParser: false,
  });
  const server = app.getHttpAdapter().getInstance();
  acceptJsonBodies(server);
  acceptForms(server);
  leaveBodiesUnread(server);
  limitRequestTime(server);
  traceRequests(server, observability.tracing);
  if (config.metrics) measureRequests(server, observability.metrics);
  app.get(Drain).watch(server);
  describeEveryResponse(server, log);
  guardConnections(server, ids, addressNetwork, observability.metrics);
  app.get(ProxyWatch).watch(server);
  const answerTheRest = answerByTheLetter(server);
  await shareWithOrigins(server, config);
  app.setGlobalPrefix(BASE_PATH, { exclude: ['health/live', 'health/ready'] });
  if (config.apiDocs) serveApiDocs(app);
  await app.init();
  app.get(MetricsServer).addTo(server);
  answerTheRest();
  app.get(AuditSealer).start();
  await app.get(CounterKeeper).start();
  return app;
}

/**
 * The application without its HTTP server, for the operator's commands: the same services over the same database.
 *
 * @throws StartError, ConfigError
 */
export async function createContext(
  config: Config,
  log: Log,
  replacements: Replacements = {},
): Promise<INestApplicationContext> {
  const { module } = await assemble(config, log, UNSEEN, replacements);
  return NestFactory.createApplicationContext(module, { logger: new FrameworkLog(log), abortOnError: false });
}

/** By hops: as many of the last addresses as there are proxies are the proxies' own. */
function trustedProxies(setting: Config['trustProxy']) {
  if (typeof setting !== 'number') return setting ?? false;
  return (_address: string, hop: number) => hop < setting;
}
