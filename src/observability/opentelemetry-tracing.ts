import type { OnApplicationShutdown } from '@nestjs/common';
import {
  type Context,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from '@opentelemetry/api';
import { type ExportResult, ExportResultCode, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type SpanExporter,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-base';
import { v4 as uuidV4 } from 'uuid';
import type { TracingSettings } from '../config/config';
import { ApiError } from '../core/errors';
import type { Log } from '../core/log';
import { OutageLog } from '../core/outage-log';
import type { Random } from '../core/random';
import { currentSpan, type Span, type SpanAttributes, Tracing, withinSpan } from '../core/tracing';

/** Milliseconds for the last spans to be sent when the service stops; whoever collects them must not hold it up. */
const LONGEST_GOODBYE_MS = 1_000;

/** Milliseconds for which spans are gathered, and that a batch of them may take to be sent. */
const BATCH_INTERVAL_MS = 2_000;
const EXPORT_TIMEOUT_MS = 5_000;

const HEADER_GETTER = {
  get: (headers: Record<string, string | string[] | undefined>, name: string) => headers[name],
  keys: (headers: object) => Object.keys(headers),
};

/**
 * Sends spans by OTLP over HTTP. Nothing is set up for the process as a whole: no library is patched, and what is not told
 * to a span by name is not in it.
 */
export class OpenTelemetryTracing extends Tracing implements OnApplicationShutdown {
  override readonly enabled = true;
  private readonly provider: BasicTracerProvider;
  private readonly tracer: Tracer;
  private readonly propagator = new W3CTraceContextPropagator();

  constructor(
    { endpoint, headers, serviceName, attributes, ratio }: TracingSettings,
    version: string,
    random: Random,
    log: Log,
  ) {
    super();
    // Of several instances, one that is slow must be found; nothing that the machine is called by is unique behind a scheduler.
    const instance = uuidV4({ random: random.bytes(16) });
    const exporter = new OTLPTraceExporter({
      url: `${endpoint}/v1/traces`,
      headers,
      timeoutMillis: EXPORT_TIMEOUT_MS,
    });
    this.provider = new BasicTracerProvider({
      resource: resourceFromAttributes({
        'service.instance.id': instance,
        ...attributes,
        ...{ 'service.name': serviceName, 'service.version': version },
      }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
      spanProcessors: [
        new BatchSpanProcessor(new WatchedExporter(exporter, log), {
          scheduledDelayMillis: BATCH_INTERVAL_MS,
        }),
      ],
    });
    this.tracer = this.provider.getTracer('latchkey', version);
  }

  override begin(
    name: string,
    headers: Record<string, string | string[] | undefined>,
    attributes: SpanAttributes,
  ): Span {
    const parent = this.propagator.extract(ROOT_CONTEXT, headers, HEADER_GETTER);
    const span = this.tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent);
    return new OpenSpan(trace.setSpan(parent, span));
  }

  override async span<T>(name: string, attributes: SpanAttributes, work: () => Promise<T>): Promise<T> {
    const parent = currentSpan();
    if (!(parent instanceof OpenSpan)) return work();
    const child = this.tracer.startSpan(name, { kind: SpanKind.INTERNAL, attributes }, parent.context);
    const span = new OpenSpan(trace.setSpan(parent.context, child));
    try {
      const result = await withinSpan(span, work);
      span.end();
      return result;
    } catch (error) {
      span.end({}, failureOf(error));
      throw error;
    }
  }

  /** Sends what has not been sent yet, if that can be done in a moment. */
  async onApplicationShutdown(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, LONGEST_GOODBYE_MS)));
    // What goes wrong has been reported by the exporter.
    await Promise.race([this.provider.shutdown().catch(() => undefined), patience]);
    clearTimeout(timer);
  }
}

/** The kind of a failure. Not its message: the database's have values in them. */
function failureOf(error: unknown): string {
  if (error instanceof ApiError) return error.code;
  return error instanceof Error ? error.name : 'unknown';
}

class OpenSpan implements Span {
  readonly traceId: string;
  readonly spanId: string;

  constructor(readonly context: Context) {
    const { traceId, spanId } = trace.getSpanContext(context) as SpanContext;
    this.traceId = traceId;
    this.spanId = spanId;
  }

  end(attributes: SpanAttributes = {}, failure?: string): void {
    const span = trace.getSpan(this.context);
    span?.setAttributes(attributes);
    if (failure !== undefined) {
      span?.setAttribute('error.type', failure).setStatus({ code: SpanStatusCode.ERROR });
    }
    span?.end();
  }
}

/** Has it logged, once, that spans cannot be sent, and once that they can again. They are lost; nothing else is. */
class WatchedExporter implements SpanExporter {
  private readonly outage: OutageLog;

  constructor(
    private readonly exporter: SpanExporter,
    log: Log,
  ) {
    this.outage = new OutageLog(log, {
      begun: 'Traces cannot be sent; they are lost',
      over: 'Traces are sent again',
    });
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.exporter.export(spans, (result) => {
      if (result.code === ExportResultCode.SUCCESS) this.outage.succeeded();
      else this.outage.failed(result.error);
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.exporter.shutdown();
  }
}
