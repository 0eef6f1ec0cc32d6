import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type MetricDefinition, type MetricName, METRICS, Metrics } from '../core/metrics';

type LabelValues = Record<string, string>;

/** What a scrape is answered. */
export interface Exposition {
  /** Media type. */
  type: string;
  text: string;
}

/** Keeps what is published, and exports it in the format of Prometheus, with the figures of the process and of Node. */
export class PrometheusMetrics extends Metrics {
  private readonly registry = new Registry();
  private readonly counters = new Map<string, Counter>();
  private readonly histograms = new Map<string, Histogram>();
  private readonly sources = new Map<string, { labels: LabelValues; read: () => number }[]>();

  constructor() {
    super();
    for (const [name, definition] of Object.entries<MetricDefinition>(METRICS))
      this.register(name, definition);
    collectDefaultMetrics({ register: this.registry });
  }

  override count(name: MetricName, labels: LabelValues, by = 1): void {
    this.counters.get(name)?.inc(labels, by);
  }

  override observe(name: MetricName, labels: LabelValues, seconds: number): void {
    this.histograms.get(name)?.observe(labels, seconds);
  }

  override gauge(name: MetricName, labels: LabelValues, read: () => number): void {
    this.sources.get(name)?.push({ labels, read });
  }

  /** What a scrape is answered, and its media type. */
  async export(): Promise<Exposition> {
    return { type: this.registry.contentType, text: await this.registry.metrics() };
  }

  private register(name: string, { kind, help, labels, buckets = [] }: MetricDefinition): void {
    const options = { name, help, labelNames: [...labels], registers: [this.registry] };
    if (kind === 'counter') this.counters.set(name, new Counter(options));
    if (kind === 'histogram') {
      this.histograms.set(name, new Histogram({ ...options, buckets: [...buckets] }));
    }
    if (kind === 'gauge') this.registerGauge(name, options);
  }

  private registerGauge(name: string, options: ConstructorParameters<typeof Gauge>[0]): void {
    const sources: { labels: LabelValues; read: () => number }[] = [];
    this.sources.set(name, sources);
    new Gauge({
      ...options,
      collect() {
        for (const { labels, read } of sources) this.set(labels, read());
      },
    });
  }
}
