import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** A span as it was received, with its attributes by name. */
export interface ReceivedSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  attributes: Record<string, string | number>;
  /** 2 is an error. */
  status: number;
}

interface OtlpAttribute {
  key: string;
  value: { stringValue?: string; intValue?: number | string; doubleValue?: number };
}

interface OtlpSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  attributes: OtlpAttribute[];
  status: { code?: number };
}

interface OtlpBody {
  resourceSpans: { resource: { attributes: OtlpAttribute[] }; scopeSpans: { spans: OtlpSpan[] }[] }[];
}

/** Receives traces by OTLP over HTTP, as a collector does, and keeps them. */
export class TraceCollector {
  readonly spans: ReceivedSpan[] = [];
  /** Every body as it came. */
  readonly bodies: string[] = [];
  readonly requests: { url: string | undefined; headers: IncomingHttpHeaders }[] = [];
  resource: Record<string, string | number> = {};
  /** What it answers. */
  status = 200;
  private readonly arrivals = new EventEmitter();

  private constructor(private readonly server: Server) {
    server.on('request', (request, response) => {
      const { url, headers } = request;
      this.requests.push({ url, headers });
      void text(request).then((body) => {
        this.receive(body);
        response.writeHead(this.status, { 'content-type': 'application/json' }).end('{}');
        this.arrivals.emit('batch');
      });
    });
  }

  static async start(): Promise<TraceCollector> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TraceCollector(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** The spans of the trace that a request belongs to. They are sent some time after it, at the latest when the service stops. */
  trace(requestId: string): ReceivedSpan[] {
    const root = this.spans.find(({ attributes }) => attributes['latchkey.request_id'] === requestId);
    return this.spans.filter(({ traceId }) => traceId === root?.traceId);
  }

  /** Waits for the next one. */
  async batch(): Promise<void> {
    await once(this.arrivals, 'batch');
  }

  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  private receive(body: string): void {
    this.bodies.push(body);
    for (const { resource, scopeSpans } of (JSON.parse(body) as OtlpBody).resourceSpans) {
      this.resource = byName(resource.attributes);
      for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
        const { name, traceId, spanId, parentSpanId, attributes, status } = span;
        this.spans.push({
          ...{ name, traceId, spanId, parentSpanId },
          attributes: byName(attributes),
          status: status.code ?? 0,
        });
      }
    }
  }
}

function byName(attributes: OtlpAttribute[]): Record<string, string | number> {
  return Object.fromEntries(
    attributes.map(({ key, value: { stringValue, intValue, doubleValue } }) => [
      key,
      stringValue ?? Number(intValue ?? doubleValue),
    ]),
  );
}
