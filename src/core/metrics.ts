/** One thing that is measured, as it is exported. */
export interface MetricDefinition {
  kind: 'counter' | 'gauge' | 'histogram';
  /** What is measured, in whole sentences: for the export and for docs/operations/monitoring.md. */
  help: string;
  /** Each takes few values: what a caller sends is never one of them. */
  labels: readonly string[];
  /** Upper bounds in seconds; of histograms only. */
  buckets?: readonly number[];
}

/**
 * Everything that the service measures of itself, in one list; modules report through `Metrics`. A test
 * holds the list against docs/operations/monitoring.md, the dashboard and the alert rules.
 */
export const METRICS = {
  // Semantic conventions for HTTP metrics of OpenTelemetry, stable since 1.23: name, attributes and buckets.
  http_server_request_duration_seconds: {
    kind: 'histogram',
    help: 'Seconds from the head of a request to the end of its answer, or until the connection was closed before that: status 499, which nobody is sent.',
    labels: ['http_request_method', 'http_route', 'http_response_status_code', 'url_scheme'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
  },
  latchkey_build_info: { kind: 'gauge', help: 'Always 1; the label is the version.', labels: ['version'] },
  latchkey_logins_total: {
    kind: 'counter',
    help: 'Logins, by how they ended: succeeded, or the code of the error.',
    labels: ['outcome'],
  },
  latchkey_refreshes_total: {
    kind: 'counter',
    help: 'Refreshes, by how they ended: granted, refused, reused (a replaced token was shown), or the code of the error.',
    labels: ['outcome'],
  },
  latchkey_refresh_token_reuse_total: {
    kind: 'counter',
    help: 'Sessions ended because a replaced refresh token was used again: a thief, or a client that breaks the rules.',
    labels: [],
  },
  latchkey_revocation_feed_age_seconds: {
    kind: 'gauge',
    help: 'Seconds since the last successful poll of the revocation feed began.',
    labels: [],
  },
  latchkey_clock_offset_seconds: {
    kind: 'gauge',
    help: "Seconds by which the machine's clock is behind the database's; up to ten minutes the service corrects.",
    labels: [],
  },
  latchkey_hash_queue_waiting: {
    kind: 'gauge',
    help: 'Passwords that wait to be hashed, by lane of the queue.',
    labels: ['lane'],
  },
  latchkey_hash_queue_wait_seconds: {
    kind: 'histogram',
    help: 'Seconds that a password waited until a thread began to hash it.',
    labels: ['lane'],
    // From nobody before it to the longest that anybody waits.
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
  },
  latchkey_hash_queue_refusals_total: {
    kind: 'counter',
    help: 'Passwords that were not hashed because their lane was full: their callers were answered 503.',
    labels: ['lane'],
  },
  latchkey_limit_hits_total: {
    kind: 'counter',
    help: 'Calls refused with 429, by the name of the limit.',
    labels: ['limit'],
  },
  latchkey_refusals_total: {
    kind: 'counter',
    help: 'Requests refused with a status of 4xx, by the code of the error.',
    labels: ['code'],
  },
  latchkey_connections_closed_total: {
    kind: 'counter',
    help: 'Connections closed without a word: there were too many (full), too many of their network (share), another network had hardly any (made_room), too many requests were unanswered (flood), or too much was not taken (unread).',
    labels: ['reason'],
  },
  latchkey_database_connections_used: {
    kind: 'gauge',
    help: 'Connections to the database that are in use.',
    labels: [],
  },
  latchkey_database_connections_max: {
    kind: 'gauge',
    help: 'Connections that there may be: the pool of MySQL, or the one of SQLite.',
    labels: [],
  },
  latchkey_database_waiting: {
    kind: 'gauge',
    help: 'Units of work that wait for a connection, or for another of the same account.',
    labels: [],
  },
  latchkey_database_failures_total: {
    kind: 'counter',
    help: 'Units of work that the database failed, or that ran out of time after their turn had come.',
    labels: [],
  },
  latchkey_database_refusals_total: {
    kind: 'counter',
    help: 'Units of work whose turn never came: too many waited before them, or their time was up before that.',
    labels: [],
  },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof METRICS;
type OfKind<Kind> = {
  [Name in MetricName]: (typeof METRICS)[Name]['kind'] extends Kind ? Name : never;
}[MetricName];
export type Labels<Name extends MetricName> = Record<(typeof METRICS)[Name]['labels'][number], string>;

/**
 * Where rooms publish what happens in them. This one does nothing: nothing is paid for what nobody looks at. With
 * `METRICS=on` another takes its place.
 */
export class Metrics {
  /** Adds to a counter. By 0, to have it exported before anything has happened: the first event is a rise then. */
  count<Name extends OfKind<'counter'>>(_name: Name, _labels: Labels<Name>, _by = 1): void {}

  /** Notes a span of time. */
  observe<Name extends OfKind<'histogram'>>(_name: Name, _labels: Labels<Name>, _seconds: number): void {}

  /** Has `read` called whenever the value is asked for; it must be quick and must not fail. */
  gauge<Name extends OfKind<'gauge'>>(_name: Name, _labels: Labels<Name>, _read: () => number): void {}
}
