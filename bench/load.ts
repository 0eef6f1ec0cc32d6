import autocannon from 'autocannon';
import type { Server } from './servers';

/** What is asked of a server, over and over. */
export interface Load {
  /** Keep-alive connections, each with one request at a time. */
  connections: number;
  seconds: number;
  /** All connections together; absent, as many as it answers. */
  requestsPerSecond?: number;
  request: autocannon.Request;
}

/** How a server bore a load. */
export interface Measurement {
  /** Answered with 2xx. */
  perSecond: number;
  /** Processor time of the server per answer, milliseconds. */
  cpuMilliseconds: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
}

/** Loads a server and measures. Throws when one answer in a hundred is not a 2xx: a refusal is cheap, and no result. */
export async function measure(
  server: Server,
  { seconds, connections, requestsPerSecond, request }: Load,
): Promise<Measurement> {
  const before = server.cpuSeconds();
  const begun = performance.now();
  const result = await autocannon({
    url: server.url,
    connections,
    duration: seconds,
    ...(requestsPerSecond !== undefined && { overallRate: requestsPerSecond }),
    requests: [request],
  });
  const answered = result['2xx'];
  const bad = result.non2xx + result.errors + result.timeouts;
  if (answered === 0 || bad > answered / 100) {
    throw new Error(
      `${request.path}: ${answered} answers, ${bad} refusals and errors: ${JSON.stringify(result.statusCodeStats)}`,
    );
  }
  return {
    perSecond: (answered * 1000) / (performance.now() - begun),
    cpuMilliseconds: ((server.cpuSeconds() - before) * 1000) / answered,
    p50: result.latency.p50,
    p99: result.latency.p99,
  };
}

/** The median of an odd number of values, the upper one of the two in the middle of an even number. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
