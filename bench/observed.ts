import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeAccounts, signIn } from './accounts';
import { measure, median } from './load';
import { moveToOtherCores, Server } from './servers';

// `npm run bench:observed`: what metrics and traces cost a `GET /auth/verify`, in processor time beside the same without, in
// turns in one run. What is not configured is the first line: it is not there to be paid for.

const ROUNDS = 7;
const SECONDS = 3;

async function main(): Promise<void> {
  const { ensureBuild } = (await import(join('..', 'scripts', 'build.mjs'))) as {
    ensureBuild: () => Promise<string>;
  };
  const script = join(await ensureBuild(), 'main.js');
  moveToOtherCores(process.pid);
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-'));
  const collector = createServer((request, response) => {
    request.resume().on('end', () => response.end('{}'));
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  const ways: Record<string, Record<string, string>> = {
    neither: {},
    metrics: { METRICS: 'on' },
    'traces, one request in ten': {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_TRACES_SAMPLER_ARG: '0.1',
    },
    'traces of all requests': { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint },
  };
  const servers: [string, Server][] = [];
  for (const [name, settings] of Object.entries(ways)) {
    const environment = { ...settings, DATABASE_URL: `sqlite:${join(folder, 'auth.sqlite')}` };
    servers.push([name, await Server.start({ script, environment, readyPath: '/health/ready' })]);
  }
  await compare(servers);
  for (const [, server] of servers) await server.stop();
  collector.close();
  collector.closeAllConnections();
  rmSync(folder, { recursive: true });
}

async function compare(servers: [string, Server][]): Promise<void> {
  const [, first] = servers[0] as [string, Server];
  const [account] = await makeAccounts(first, 1);
  if (!account) throw new Error('There is no account');
  await signIn(first, account);
  const request = {
    method: 'GET' as const,
    path: '/api/v1/auth/verify',
    headers: { authorization: `Bearer ${account.token}` },
  };
  const costs = new Map<string, number[]>(servers.map(([name]) => [name, []]));
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, server] of servers) {
      const { cpuMilliseconds } = await measure(server, { connections: 20, seconds: SECONDS, request });
      // The first round warms up.
      if (round > 0) costs.get(name)?.push(cpuMilliseconds);
    }
  }
  const floor = costs.get('neither') ?? [];
  for (const [name, values] of costs) {
    const ratios = values.map((value, round) => value / (floor[round] ?? NaN));
    console.log(
      `${name.padEnd(28)} ${median(values).toFixed(3)} ms of processor time per request, ${median(ratios).toFixed(2)} of neither`,
    );
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
