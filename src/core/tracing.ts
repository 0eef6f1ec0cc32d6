import { AsyncLocalStorage } from 'node:async_hooks';

/** What may be told of a span to whoever collects traces: names and numbers of ours, never what a caller sent. */
export type SpanAttributes = Record<string, string | number>;

/** A span that is under way. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** Ends it. @param failure what kind of failure it ended with, if so */
  end(attributes?: SpanAttributes, failure?: string): void;
}

const current = new AsyncLocalStorage<Span>();

/** The span that the running code belongs to, if any. */
export function currentSpan(): Span | undefined {
  return current.getStore();
}

/** Runs `work`, and all that it starts, as part of a span. */
export function withinSpan<T>(span: Span, work: () => T): T {
  return current.run(span, work);
}

/** Where rooms tell how long their part of a request takes. This one does nothing: see `Metrics`. */
export class Tracing {
  /** Whether anybody collects spans. */
  readonly enabled: boolean = false;

  /** Does the work as a span of its own, a child of the current one. Outside of requests there is none. */
  span<T>(_name: string, _attributes: SpanAttributes, work: () => Promise<T>): Promise<T> {
    return work();
  }

  /**
   * Begins the span of a request.
   *
   * @param headers the request's: one that carries a `traceparent` (W3C Trace Context) belongs to that trace
   */
  begin(
    _name: string,
    _headers: Record<string, string | string[] | undefined>,
    _attributes: SpanAttributes,
  ): Span | undefined {
    return undefined;
  }
}
