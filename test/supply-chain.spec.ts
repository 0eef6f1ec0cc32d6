import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(__dirname, '..');
const read = (name: string): string => readFileSync(join(root, name), 'utf8');

interface Locked {
  version: string;
  resolved?: string;
  integrity?: string;
  license?: string;
  link?: boolean;
  dev?: boolean;
  hasInstallScript?: boolean;
}

const manifest = JSON.parse(read('package.json')) as {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  allowScripts: Record<string, boolean>;
  scripts: Record<string, string>;
};
const lock = JSON.parse(read('package-lock.json')) as {
  lockfileVersion: number;
  packages: Record<string, Locked>;
};
const packages = Object.entries(lock.packages)
  .filter(([path]) => path !== '')
  .map(([path, locked]) => ({
    ...{ path, ...locked },
    name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
  }));

/** What may run in production. Each can be used in a closed product as well, and asks for no more than its notice. */
const LICENCES = ['0BSD', 'Apache-2.0', 'BSD-3-Clause', 'BlueOak-1.0.0', 'ISC', 'MIT', 'Python-2.0'];

/** What looks at sources here and is part of nothing. */
const LICENCES_OF_TOOLS = [
  ...[
    '(MIT AND Zlib)',
    '(MIT OR CC0-1.0)',
    'Apache-2.0 AND MIT',
    'BSD-2-Clause',
    'CC-BY-4.0',
    'MPL 2.0',
    'MPL-2.0',
  ],
  ...['Unlicense'],
];

describe('what is installed', () => {
  it('is asked for in exact versions', () => {
    const asked = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });

    expect(asked.length).toBeGreaterThan(50);
    expect(asked.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
    for (const [name, version] of asked)
      expect([name, lock.packages[`node_modules/${name}`]?.version]).toEqual([name, version]);
  });

  it('comes from the registry and nowhere else, and is known by a digest', () => {
    expect(lock.lockfileVersion).toBe(3);
    const from = ({ resolved }: Locked) =>
      resolved === undefined || resolved.startsWith('https://registry.npmjs.org/');

    expect(packages.filter((locked) => locked.link || !from(locked)).map(({ path }) => path)).toEqual([]);
    expect(
      packages
        .filter(({ integrity }) => !/^sha512-[\w+/]{86}==$/.test(integrity ?? ''))
        .map(({ path }) => path),
    ).toEqual([]);
  });

  it('runs no script of its own: each that has one is named and refused', () => {
    const withScript = packages.filter(({ hasInstallScript }) => hasInstallScript).map(({ name }) => name);

    expect([...new Set(withScript)].sort()).toEqual(Object.keys(manifest.allowScripts).sort());
    expect(Object.values(manifest.allowScripts).filter(Boolean)).toEqual([]);
    expect(
      Object.keys(manifest.scripts).filter((name) => /^(pre|post)?install$|^prepare$/.test(name)),
    ).toEqual([]);
    for (const file of ['Dockerfile', '.ci/run'])
      expect(read(file).match(/npm ci(?! --ignore-scripts)/g) ?? []).toEqual(
        // Where a sentence names it.
        file === '.ci/run' ? ['npm ci'] : [],
      );
  });

  it('has a licence that is on the list', () => {
    const others = packages.filter(
      ({ license = 'MIT', dev }) => ![...LICENCES, ...(dev ? LICENCES_OF_TOOLS : [])].includes(license),
    );

    expect(others.map(({ name, license }) => `${name}: ${license}`)).toEqual([]);
    // Those that name none in their package.json, which was looked up by hand.
    const unnamed = packages.filter(({ license }) => license === undefined).map(({ name }) => name);
    expect(unnamed.sort()).toEqual(['passport-strategy', 'pause', 'reserved']);
  });

  it('is listed where it runs in production: run `npm run third-party` and commit', () => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-third-party-'));
    const fresh = join(folder, 'third-party.md');
    execFileSync(process.execPath, [join(root, 'scripts', 'write-third-party.mjs'), fresh]);

    const written = readFileSync(fresh, 'utf8');

    rmSync(folder, { recursive: true });
    expect(written).toBe(read(join('docs', 'third-party.md')));
    expect(written).not.toContain('unknown');
    const inProduction = packages.filter(({ dev }) => !dev);
    expect(inProduction.filter(({ name }) => !written.includes(`| ${name} `))).toEqual([]);
    for (const name of Object.keys(manifest.dependencies))
      expect(existsSync(join(root, 'node_modules', name))).toBe(true);
  });
});
