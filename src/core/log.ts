import type { LoggerService } from '@nestjs/common';
import { pino, type DestinationStream, type Logger } from 'pino';
import { openLogOutput } from './log-output';
import { describeError } from './logged-error';
import { currentSpan } from './tracing';

/** Injection token of the process's logger (pino: one JSON object a line). */
export const LOG = Symbol('log');
export type Log = Logger;

/** Where a command logs to: what it writes to standard output is its answer, which may go into a file or another program. */
export const STANDARD_ERROR: DestinationStream = { write: (line) => void process.stderr.write(line) };

/**
 * The process's logger.
 *
 * @param level least severe level that is written
 * @param destination where lines go; by default standard output, which may be full: see `openLogOutput`
 */
export function createLog(level: string, destination?: DestinationStream): Log {
  const options = {
    level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    mixin: traceIds,
    serializers: { err: describeError },
  };
  if (destination) return pino(options, destination);
  const output = openLogOutput(process.stdout.fd, (lines) =>
    log.warn({ lines }, 'Lines of the log are lost'),
  );
  process.once('exit', () => output.writeLast());
  const log = pino(options, output);
  return log;
}

/** Links log lines and traces. The names are those that OpenTelemetry has for JSON logs. */
function traceIds(): object {
  const span = currentSpan();
  return span ? { trace_id: span.traceId, span_id: span.spanId } : {};
}

/** Sends what the framework itself logs the same way. Its progress reports at start are of use in debugging only. */
export class FrameworkLog implements LoggerService {
  constructor(private readonly sink: Log) {}

  log(message: unknown, context?: string): void {
    this.sink.debug({ context }, String(message));
  }

  warn(message: unknown, context?: string): void {
    this.sink.warn({ context }, String(message));
  }

  error(message: unknown, stack?: string, context?: string): void {
    this.sink.error({ context, stack }, String(message));
  }
}
