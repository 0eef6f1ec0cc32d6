import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { type MetricDefinition, METRICS } from '../src/core/metrics';
import { Drain } from '../src/http/drain';
import { startApp, type TestApp } from './support/app';
import { loginHungUpOn } from './support/hang-up';
import { describeWhereInstalled, PROGRAM_PATH } from './support/installed';
import { newcomer } from './support/people';
import { Scrape } from './support/scrape';
import { TestFailpoints } from './support/test-failpoints';

const root = join(__dirname, '..');
const read = (name: string): string => readFileSync(join(root, 'docs', 'operations', name), 'utf8');

const failpoints = new TestFailpoints();

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
  panels: {
    title: string;
    fieldConfig: { defaults: { unit: string } };
    targets: { expr: string }[];
  }[];
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

/** Labels by which a query chooses, with the metric that they stand behind and the values that it names. */
const choices = (query: string): { metric: string; label: string; values: string[] }[] =>
  [...query.matchAll(/([\w:]+)\{([^}]*)\}/g)].flatMap(([, metric = '', inside = '']) =>
    [...inside.matchAll(/(\w+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"/g)].map(([, label = '', values = '']) => ({
      ...{ metric, label },
      values: values.split('|'),
    })),
  );

const definitionOf = (metric: string): MetricDefinition | undefined =>
  (METRICS as Record<string, MetricDefinition>)[metric.replace(/_(bucket|sum|count)$/, '')];

/** What a query results in, as Grafana names units: by the name of what it asks for, and by what it makes of that. */
function unitsOf(expr: string): string[] {
  const asked = metricsIn(expr).join();
  const isRate = /\brate\(/.test(expr) && !expr.startsWith('histogram_quantile');
  // Seconds a second are cores.
  if (isRate) return /_seconds_total$/.test(asked) ? ['none'] : ['reqps', 'ops', 'cps'];
  if (/_seconds(_bucket)?$/.test(asked)) return ['s'];
  return /_bytes$/.test(asked) ? ['bytes'] : ['none'];
}

const queries = [
  ...rules.map(({ alert, expr }) => ({ from: alert, expr })),
  ...panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ from: title, expr }))),
];

/** An hour of figures, one a minute, in promtool's notation: what is there from the beginning, and what each minute adds. */
const steady = (value: number) => `${value}x60`;
const growing = (perMinute: number) => `0+${perMinute}x60`;

const requests = (status: number, route = '/api/v1/users/me') =>
  `http_server_request_duration_seconds_count{http_response_status_code="${status}",http_route="${route}"}`;
const durations = (method: string, route: string, le: string) =>
  `http_server_request_duration_seconds_bucket{http_route="${route}",http_request_method="${method}",le="${le}"}`;
/** Requests whose clients hung up within a second. */
const quickHangUps =
  'http_server_request_duration_seconds_bucket{http_response_status_code="499",http_route="/api/v1/users/me",le="1"}';
const verifications = (le: string) => durations('GET', '/api/v1/auth/verify', le);
const refreshes = (le: string) => durations('POST', '/api/v1/auth/refresh', le);
const hashWaits = (le: string) => `latchkey_hash_queue_wait_seconds_bucket{lane="known",le="${le}"}`;
const logins = (outcome: string) => `latchkey_logins_total{outcome="${outcome}"}`;

/** What makes each of the alerts go off, and the most of the same that does not: figures of one instance. */
const CAUSES: Record<string, { bad: Record<string, string>; bearable: Record<string, string> }> = {
  LatchkeyAbsent: {
    bad: { up: '1x50 stale' },
    bearable: { up: '1x55 stale' },
  },
  LatchkeyDown: {
    bad: { up: steady(0) },
    bearable: { up: steady(1) },
  },
  LatchkeyRequestsFail: {
    bad: {
      ...{ [requests(503)]: growing(1), [requests(200)]: growing(48) },
      ...{ [requests(499)]: growing(51), [quickHangUps]: growing(50) },
      ...{ [requests(200, '/health/ready')]: growing(100), [requests(200, '/health/live')]: growing(100) },
    },
    bearable: {
      ...{ [requests(503)]: growing(1), [requests(200)]: growing(99), [requests(404)]: growing(50) },
      ...{ [requests(499)]: growing(50), [quickHangUps]: growing(50) },
      ...{ [requests(503, '/health/ready')]: growing(50), [requests(200, '/health/ready')]: growing(50) },
    },
  },
  LatchkeyNotReady: {
    bad: {
      ...{ [requests(503, '/health/ready')]: growing(7), [requests(200, '/health/ready')]: growing(5) },
      // That others are ready is no comfort.
      [requests(200, '/health/ready').replace('}', ',instance="another"}')]: growing(100),
    },
    bearable: { [requests(503, '/health/ready')]: growing(6), [requests(200, '/health/ready')]: growing(6) },
  },
  LatchkeyRequestsSlow: {
    bad: {
      [verifications('0.25')]: growing(98),
      [verifications('+Inf')]: growing(100),
      [verifications('0.5')]: growing(100),
    },
    bearable: { [verifications('0.25')]: growing(100), [verifications('+Inf')]: growing(100) },
  },
  LatchkeyRefreshesSlow: {
    bad: {
      [refreshes('1')]: growing(98),
      [refreshes('2.5')]: growing(100),
      [refreshes('+Inf')]: growing(100),
    },
    bearable: {
      [refreshes('0.75')]: growing(50),
      [refreshes('1')]: growing(100),
      [refreshes('+Inf')]: growing(100),
    },
  },
  LatchkeyRevocationFeedLate: {
    bad: { latchkey_revocation_feed_age_seconds: steady(3) },
    bearable: { latchkey_revocation_feed_age_seconds: steady(2) },
  },
  LatchkeyClockOff: {
    bad: { latchkey_clock_offset_seconds: steady(-3) },
    bearable: { latchkey_clock_offset_seconds: steady(-2) },
  },
  LatchkeyDatabaseFails: {
    bad: { latchkey_database_failures_total: growing(7) },
    bearable: { latchkey_database_failures_total: growing(5) },
  },
  LatchkeyDatabaseBusy: {
    bad: {
      latchkey_database_waiting: steady(11),
      latchkey_database_connections_used: steady(10),
      latchkey_database_connections_max: steady(10),
    },
    bearable: {
      latchkey_database_waiting: steady(11),
      latchkey_database_connections_used: steady(9),
      latchkey_database_connections_max: steady(10),
    },
  },
  LatchkeyHashQueueFull: {
    bad: { 'latchkey_hash_queue_refusals_total{lane="unknown"}': growing(1) },
    bearable: { 'latchkey_hash_queue_refusals_total{lane="unknown"}': steady(1000) },
  },
  LatchkeyHashQueueSlow: {
    bad: {
      [hashWaits('1')]: growing(90),
      [hashWaits('2.5')]: growing(100),
      [hashWaits('+Inf')]: growing(100),
    },
    bearable: {
      [hashWaits('1')]: growing(95),
      [hashWaits('2.5')]: growing(100),
      [hashWaits('+Inf')]: growing(100),
    },
  },
  LatchkeyLoginsFail: {
    bad: {
      ...{ [logins('invalid_credentials')]: growing(40), [logins('succeeded')]: growing(30) },
      // That most found no place does not hide them.
      [logins('overloaded')]: growing(100),
    },
    bearable: {
      ...{ [logins('invalid_credentials')]: growing(20), [logins('succeeded')]: growing(21) },
      ...{ [logins('service_unavailable')]: growing(40), [logins('overloaded')]: growing(40) },
    },
  },
  LatchkeyRefreshTokensReused: {
    bad: { latchkey_refresh_token_reuse_total: growing(0.2) },
    bearable: { latchkey_refresh_token_reuse_total: growing(0.08) },
  },
  LatchkeyLimitsStopCallers: {
    bad: { 'latchkey_limit_hits_total{limit="sign-up"}': growing(66) },
    bearable: { 'latchkey_limit_hits_total{limit="sign-up"}': growing(60) },
  },
  LatchkeyConnectionsClosed: {
    bad: { 'latchkey_connections_closed_total{reason="share"}': growing(66) },
    bearable: { 'latchkey_connections_closed_total{reason="share"}': growing(60) },
  },
  LatchkeyEventLoopLags: {
    bad: { nodejs_eventloop_lag_p99_seconds: steady(0.3) },
    bearable: { nodejs_eventloop_lag_p99_seconds: steady(0.25) },
  },
  LatchkeyMemoryGrows: {
    bad: { process_resident_memory_bytes: steady(701e6) },
    bearable: { process_resident_memory_bytes: steady(700e6) },
  },
};

type Series = Record<string, string>;

/** The same figures as Prometheus stores them once it has scraped them under the name of a job. */
const scrapedAs = (job: string, series: Series): Series =>
  Object.fromEntries(
    Object.entries(series).map(([name, values]) => {
      const [, metric = '', labels = ''] = /^(\w+)(?:\{(.*)\})?$/.exec(name) ?? [];
      return [`${metric}{${[`job="${job}"`, ...(labels ? [labels] : [])].join(',')}}`, values];
    }),
  );

/** The same as Prometheus 3 stores them, to which every bound of a histogram is a number with a fraction. */
const normalised = (series: Series): Series =>
  Object.fromEntries(
    Object.entries(series).map(([name, values]) => [name.replace(/le="(\d+)"/, 'le="$1.0"'), values]),
  );

/** As much as an hour and a half brings, all of it in the twentieth minute. */
const inOneBurst = (series: Series): Series =>
  Object.fromEntries(
    Object.entries(series).map(([name, values]) => [
      name,
      values.replace(/^0\+(\S+)x60$/, (_, perMinute) => `0x20 ${Number(perMinute) * 90}x39`),
    ]),
  );

/** All that makes alerts go off, at once; but a service that is down cannot be absent as well. */
const EVERYTHING_BAD: Series = Object.assign({}, ...Object.values(CAUSES).map(({ bad }) => bad)) as Series;

describeWhereInstalled('promtool', 'what Prometheus makes of what operators are given', () => {
  let folder: string;
  beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'latchkey-promtool-'))));
  afterAll(() => rmSync(folder, { recursive: true }));

  const alerts = join(root, 'docs', 'operations', 'alerts.yml');
  /** Throws what it says where it is not content. */
  const promtool = (words: string[], input = ''): string =>
    execFileSync('promtool', words, { input, encoding: 'utf8', env: { ...process.env, PATH: PROGRAM_PATH } });
  const written = (name: string, content: object): string => {
    const file = join(folder, name);
    writeFileSync(file, stringify(content));
    return file;
  };

  it('takes the alert rules', () => {
    expect(promtool(['check', 'rules', alerts])).toContain(`${rules.length} rules found`);
  });

  it('takes every query of the dashboard', () => {
    const expressions = panels
      .flatMap(({ targets }) => targets)
      .map(({ expr }) => expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*'));
    const recorded = expressions.map((expr, index) => ({ record: `panel:${index}`, expr }));

    const said = promtool([
      'check',
      'rules',
      written('panels.yml', { groups: [{ name: 'panels', rules: recorded }] }),
    ]);

    expect(said).toContain(`${expressions.length} rules found`);
  });

  it('finds nothing to say against the names and types of the metrics', async () => {
    const app = await startApp({ METRICS: 'on' });
    await newcomer(app);
    const { text } = await Scrape.from(app.url);
    await app.close();

    // Node's own are named by the library, for all of its users.
    const ours = text.replace(/^(# \w+ )?nodejs_active_.*\n/gm, '');
    expect(promtool(['check', 'metrics'], ours)).toBe('');
  });

  it('alerts of each cause when it is bad enough, and of that alone', () => {
    expect(Object.keys(CAUSES).sort()).toEqual(rules.map(({ alert }) => alert).sort());
    // Beside it runs another service, which exports figures of the same names and is in a sorry state.
    const test = (series: Series, firing: string[]) => ({
      interval: '1m',
      input_series: Object.entries({
        ...scrapedAs('latchkey', { up: steady(1), ...series }),
        ...scrapedAs('another', EVERYTHING_BAD),
      }).map(([name, values]) => ({ series: name, values })),
      promql_expr_test: [
        {
          expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
          eval_time: '59m',
          exp_samples: firing.map((alertname) => ({ labels: `{alertname="${alertname}"}`, value: 1 })),
        },
      ],
    });
    const tests = [
      ...Object.entries(CAUSES).flatMap(([alert, { bad, bearable }]) => [
        test(bad, [alert]),
        test(bearable, []),
        test(normalised(bad), [alert]),
        test(normalised(bearable), []),
      ]),
      test({}, []),
      // What the other service shows would be enough for each of them.
      test(
        EVERYTHING_BAD,
        Object.keys(CAUSES).filter((alert) => alert !== 'LatchkeyAbsent'),
      ),
    ];

    const file = written('tests.yml', { rule_files: [alerts], evaluation_interval: '1m', tests });

    expect(promtool(['test', 'rules', file])).toContain('SUCCESS');
  });

  it('alerts at no time of a burst that is over a minute later, however big, but of stolen tokens', () => {
    const bursts = Object.entries(CAUSES).filter(([, { bad }]) =>
      Object.values(bad).every((values) => values.startsWith('0+')),
    );
    const tests = bursts.map(([alert, { bad }]) => ({
      interval: '1m',
      input_series: Object.entries(scrapedAs('latchkey', { up: steady(1), ...inOneBurst(bad) })).map(
        ([name, values]) => ({ series: name, values }),
      ),
      promql_expr_test: [
        {
          expr: 'count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[1h]))',
          eval_time: '59m',
          exp_samples:
            alert === 'LatchkeyRefreshTokensReused' ? [{ labels: `{alertname="${alert}"}`, value: 1 }] : [],
        },
      ],
    }));

    const file = written('bursts.yml', { rule_files: [alerts], evaluation_interval: '1m', tests });

    expect(bursts.map(([alert]) => alert)).toContain('LatchkeyDatabaseFails');
    expect(bursts.length).toBeGreaterThan(7);
    expect(promtool(['test', 'rules', file])).toContain('SUCCESS');
  });
});

describe('what operators are given to watch the service', () => {
  let app: TestApp;
  let exported: Scrape;
  beforeAll(async () => {
    app = await startApp({ METRICS: 'on' }, { failpoints });
    // First: everything that happens then uses the limit for sign-ups up.
    await loginHungUpOn(app, failpoints);
    await everythingHappens();
    exported = await Scrape.from(app.url);
  });
  afterAll(() => app.close());

  /** Whatever the queries and the causes choose by. */
  const everythingHappens = async () => {
    const { token, refreshToken, username, password, deviceToken } = await newcomer(app);
    await app.call('GET', '/users/me', { token });
    await app.call('GET', '/auth/verify', { token });
    await app.call('POST', '/auth/refresh', { body: { refreshToken } });
    await app.call('POST', '/auth/login', { body: { username, password, deviceToken } });
    await app.call('POST', '/auth/login', { body: { username, password: 'not theirs' } });
    await fetch(`${app.url}/nothing`);
    let status = 0;
    while (status !== 429) ({ status } = await app.call('POST', '/users', { body: {} }));
    await app.fetch('/health/live');
    await app.fetch('/health/ready');
    app.nest.get(Drain).announce();
    await app.fetch('/health/ready');
  };

  it('asks only for metrics that are exported', () => {
    const asked = queries.flatMap(({ from, expr }) => metricsIn(expr).map((name) => ({ from, name })));

    expect(asked.length).toBeGreaterThan(30);
    expect(asked.filter(({ name }) => !exported.names.has(name) && !OF_PROMETHEUS.includes(name))).toEqual(
      [],
    );
  });

  it('chooses only by labels that those metrics have, or that a scrape adds', () => {
    const unknown = queries.flatMap(({ from, expr }) =>
      choices(expr)
        .filter(
          ({ metric, label }) =>
            ![
              ...['instance', 'job', ...(definitionOf(metric)?.labels ?? [])],
              ...(metric.endsWith('_bucket') ? ['le'] : []),
            ].includes(label),
        )
        .map(({ metric, label }) => ({ from, metric, label })),
    );

    expect(unknown).toEqual([]);
  });

  it('shows every figure in a unit of its kind', () => {
    for (const { title, fieldConfig, targets } of panels) {
      for (const { expr } of targets)
        expect([title, unitsOf(expr)]).toEqual([title, expect.arrayContaining([fieldConfig.defaults.unit])]);
    }
  });

  it('looks at the figures of no other service', () => {
    for (const { from, expr } of queries) {
      const ofOurs = choices(expr)
        .filter(({ label, values }) => label === 'job' && values.join() === 'latchkey')
        .map(({ metric }) => metric);

      expect([from, ofOurs]).toEqual([from, metricsIn(expr)]);
    }
  });

  it('chooses by values that are exported of what has happened, and so do the causes that the alerts are tried with', () => {
    const causes = Object.entries(CAUSES).flatMap(([from, { bad, bearable }]) =>
      Object.keys({ ...bad, ...bearable }).map((expr) => ({ from, expr })),
    );
    const named = [...queries, ...causes].flatMap(({ from, expr }) =>
      choices(expr)
        .filter(({ metric, label }) => label === 'le' || definitionOf(metric)?.labels.includes(label))
        .flatMap(({ metric, label, values }) => values.map((value) => ({ from, metric, label, value }))),
    );

    // Nobody fills the hashing queue or takes all connections here, and no login meets an outage; that none did is exported all the same.
    const unhurt = [
      ...['latchkey_hash_queue_refusals_total', 'latchkey_logins_total'],
      'latchkey_connections_closed_total',
    ];
    const happened = ({ metric, label, value }: (typeof named)[number]) =>
      exported
        .of(metric)
        .filter((sample) => sample.value > 0 || unhurt.includes(metric))
        .some(({ labels }) => new RegExp(`^${value.replace('+', '\\+')}$`).test(labels[label] ?? ''));

    expect(named.length).toBeGreaterThan(30);
    expect(named.filter((one) => !happened(one))).toEqual([]);
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
      // Something is compared, or missed; what stands in braces only chooses.
      expect([alert, expr.replace(/\{[^}]*\}/g, '')]).toEqual([
        alert,
        expect.stringMatching(/[<>=]|^absent\(/),
      ]);
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
        const definition = definitionOf(name);
        return Object.keys(labels).filter((label) => label !== 'le' && !definition?.labels.includes(label));
      });

    expect(undocumented).toEqual([]);
  });
});
