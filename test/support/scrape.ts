/** One line of an export: what was measured, and the value. */
export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** What a scrape brought. */
export class Scrape {
  readonly samples: Sample[];

  constructor(readonly text: string) {
    this.samples = text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map(parse);
  }

  /** Asks for it. Throws unless it is answered 200. */
  static async from(origin: string): Promise<Scrape> {
    const response = await fetch(`${origin}/metrics`);
    if (response.status !== 200) throw new Error(`A scrape was answered ${response.status}`);
    return new Scrape(await response.text());
  }

  /** The value with these labels and perhaps others; 0 where there is none, as Prometheus takes it. Several are added up. */
  value(name: string, labels: Record<string, string> = {}): number {
    return this.of(name)
      .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
      .reduce((sum, sample) => sum + sample.value, 0);
  }

  of(name: string): Sample[] {
    return this.samples.filter((sample) => sample.name === name);
  }

  /** Names as queries use them: those of a histogram's parts included. */
  get names(): Set<string> {
    const declared = [...this.text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', kind]) =>
      kind === 'histogram' ? ['_bucket', '_sum', '_count'].map((part) => name + part) : [name],
    );
    return new Set(declared);
  }
}

function parse(line: string): Sample {
  const [, name = '', labels = '', value] = /^([\w:]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  return {
    name,
    labels: Object.fromEntries(
      [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label = '', text = '']) => [label, text]),
    ),
    value: value === '+Inf' ? Infinity : Number(value),
  };
}
