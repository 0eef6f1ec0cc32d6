import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { type MetricDefinition, METRICS } from '../src/core/metrics';
import { startApp, type TestApp } from './support/app';
import { newcomer } from './support/people';
import { Scrape } from './support/scrape';

const root = join(__dirname, '..');
const read = (name: string): string => readFileSync(join(root, 'docs', 'operations', name), 'utf8');

/** What Prometheus itself knows of what it scrapes. */
const OF_PROMETHEUS = ['up'];

interface Rule {
  alert: string;
  expr: string;
  for: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

const rules = (parse(read('alerts.yml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);

interface Dashboard {
  panels: { title: string; targets: { expr: string }[] }[];
}

const { panels } = JSON.parse(read('dashboard.json')) as Dashboard;

/** The names in a query that stand where a metric stands: no function, no label, no keyword, no text in quotes. */
function metricsIn(query: string): string[] {
  const bare = query
    .replace(/"(?:[^"\\]|\\.)*"/g, '')
    .replace(/\{[^}]*\}/g, '')
    .replace(/\[[^\]]*\]/g, '')
    .replace(/\b(by|without|on|ignoring)\s*\([^)]*\)/g, '');
  return [...bare.matchAll(/[a-z_:][\w:]*(?!\w)(?!\s*\()/gi)]
    .map(([name]) => name)
    .filter((name) => !['and', 'or', 'unless', 'by', 'bool', 'e6'].includes(name));
}

/** Labels by which a query chooses, with the metric that they stand behind. */
const choices = (query: string): [metric: string, labels: string[]][] =>
  [...query.matchAll(/([\w:]+)\{([^}]*)\}/g)].map(([, metric = '', inside = '']) => [
    metric,
    [...inside.matchAll(/(\w+)\s*(?:=~|!=|!~|=)/g)].map(([, label]) => label as string),
  ]);

const queries = [
  ...rules.map(({ alert, expr }) => ({ from: alert, expr })),
  ...panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ from: title, expr }))),
];

describe('what operators are given to watch the service', () => {
  let app: TestApp;
  let exported: Scrape;
  beforeAll(async () => {
    app = await startApp({ METRICS: 'on' });
    await newcomer(app);
    exported = await Scrape.from(app.url);
  });
  afterAll(() => app.close());

  it('asks only for metrics that are exported', () => {
    const asked = queries.flatMap(({ from, expr }) => metricsIn(expr).map((name) => ({ from, name })));

    expect(asked.length).toBeGreaterThan(30);
    expect(asked.filter(({ name }) => !exported.names.has(name) && !OF_PROMETHEUS.includes(name))).toEqual(
      [],
    );
  });

  it('chooses only by labels that those metrics have, or that a scrape adds', () => {
    const unknown = queries.flatMap(({ from, expr }) =>
      choices(expr).flatMap(([metric, labels]) => {
        const name = metric.replace(/_(bucket|sum|count)$/, '');
        const definition = (METRICS as Record<string, MetricDefinition>)[name];
        return labels
          .filter((label) => !['instance', 'job', ...(definition?.labels ?? [])].includes(label))
          .map((label) => ({ from, metric, label }));
      }),
    );

    expect(unknown).toEqual([]);
  });

  it('looks at everything of ours, on the dashboard or in an alert', () => {
    const asked = new Set(queries.flatMap(({ expr }) => metricsIn(expr)));
    const parts = (name: string, { kind }: MetricDefinition) =>
      kind === 'histogram' ? [`${name}_bucket`, `${name}_count`] : [name];

    const ignored = Object.entries<MetricDefinition>(METRICS)
      .filter(([name, definition]) => !parts(name, definition).some((part) => asked.has(part)))
      .map(([name]) => name);

    expect(ignored).toEqual([]);
  });

  it('alerts with a duration, a severity, a summary and a page that says what to do', () => {
    const anchors = new Set(
      [...read('monitoring.md').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replace(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      ),
    );

    expect(rules.length).toBeGreaterThan(10);
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    for (const { alert, expr, for: duration, labels, annotations } of rules) {
      expect([alert, duration]).toEqual([alert, expect.stringMatching(/^\d+[sm]$/)]);
      expect([alert, labels]).toEqual([
        alert,
        { severity: expect.stringMatching(/^(page|ticket)$/) as string },
      ]);
      expect([alert, expr]).toEqual([alert, expect.stringMatching(/[<>=]/)]);
      expect(Object.keys(annotations)).toEqual(['summary', 'runbook']);
      const [page, anchor = ''] = annotations['runbook']?.split('#') ?? [];
      expect([alert, page, anchors.has(anchor)]).toEqual([alert, 'docs/operations/monitoring.md', true]);
    }
  });

  it('exports what the documentation describes, in the same words, and nothing else of ours', () => {
    const documented = [
      ...read('monitoring.md').matchAll(/^\| `(\w+)` +\| (\w+) +\| (.+?) +\| (.+?) +\|$/gm),
    ].map(([, name, kind, labels, help]) => ({ name, kind, labels, help }));
    const exportedOnes = [...exported.text.matchAll(/^# HELP (\w+) (.+)\n# TYPE \w+ (\w+)$/gm)].map(
      ([, name, help, kind]) => ({ name, kind, help }),
    );

    expect(documented).toEqual(
      Object.entries<MetricDefinition>(METRICS).map(([name, { kind, labels, help }]) => ({
        ...{ name, kind, help },
        labels: labels.map((label) => `\`${label}\``).join(', ') || 'none',
      })),
    );
    expect(exportedOnes.filter(({ name }) => /^(latchkey|http)_/.test(name ?? ''))).toEqual(
      documented.map(({ name, kind, help }) => ({ name, kind, help })),
    );
  });

  it('exports no label that the documentation does not name', () => {
    const undocumented = exported.samples
      .filter(({ name }) => /^(latchkey|http)_/.test(name))
      .flatMap(({ name, labels }) => {
        const definition = (METRICS as Record<string, MetricDefinition>)[
          name.replace(/_(bucket|sum|count)$/, '')
        ];
        return Object.keys(labels).filter((label) => label !== 'le' && !definition?.labels.includes(label));
      });

    expect(undocumented).toEqual([]);
  });
});
