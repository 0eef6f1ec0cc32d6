import type { Config } from '../config/config';
import { readVersion } from '../config/version';
import type { Log } from '../core/log';
import { Metrics } from '../core/metrics';
import type { Random } from '../core/random';
import { Tracing } from '../core/tracing';
import type * as OpenTelemetry from './opentelemetry-tracing';
import type * as Prometheus from './prometheus-metrics';

/** What modules report to, as configured. */
export interface Observability {
  metrics: Metrics;
  tracing: Tracing;
}

/** What an operator's command has: nobody looks at it. */
export const UNSEEN: Observability = { metrics: new Metrics(), tracing: new Tracing() };

/** Metrics and traces as the settings want them. The libraries are loaded here, and only where they are wanted. */
export function openObservability(config: Config, random: Random, log: Log): Observability {
  return {
    metrics: config.metrics ? openMetrics() : UNSEEN.metrics,
    tracing: config.tracing ? openTracing(config.tracing, random, log) : UNSEEN.tracing,
  };
}

function openMetrics(): Metrics {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { PrometheusMetrics } = require('./prometheus-metrics') as typeof Prometheus;
  const metrics = new PrometheusMetrics();
  metrics.gauge('latchkey_build_info', { version: readVersion() }, () => 1);
  return metrics;
}

function openTracing(settings: NonNullable<Config['tracing']>, random: Random, log: Log): Tracing {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { OpenTelemetryTracing } = require('./opentelemetry-tracing') as typeof OpenTelemetry;
  return new OpenTelemetryTracing(settings, readVersion(), random, log);
}
