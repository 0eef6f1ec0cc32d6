import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { preProcessFile } from 'typescript';

const src = join(__dirname, '..', 'src');

/**
 * Who may import whom: a room may import its own files and rooms of a lower floor, never one beside it or above. The
 * rooms of one floor are independent of each other.
 */
const FLOORS: string[][] = [
  ['core', 'worker-file'],
  ['config'],
  ['openapi', 'http', 'observability', 'crypto', 'database', 'redis'],
  ['audit'],
  ['access', 'revocation', 'passwords'],
  ['rate-limit'],
  ['users', 'sessions', 'api-keys', 'health'],
  ['auth'],
  ['entities', 'app.module'],
  ['app'],
  ['banner', 'shutdown', 'keep-signals'],
  ['cli', 'main'],
];

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'))
  .sort();

interface Import {
  from: string;
  to: string;
}

const textOf = (file: string): string => readFileSync(join(src, file), 'utf8');

const imports: Import[] = files.flatMap((from) =>
  preProcessFile(textOf(from)).importedFiles.flatMap(({ fileName }) => {
    if (!fileName.startsWith('.')) return [];
    const target = relative(src, resolve(src, dirname(from), fileName));
    const to = [`${target}.ts`, join(target, 'index.ts')].find((name) => files.includes(name));
    return [{ from, to: to ?? `${target} (which is missing)` }];
  }),
);

const roomOf = (file: string): string =>
  file.includes('/') ? (file.split('/')[0] as string) : file.replace('.ts', '');
const floorOf = (file: string): number => FLOORS.findIndex((rooms) => rooms.includes(roomOf(file)));

/** The files that match, with the line, so that a failure says where. */
const linesWith = (pattern: RegExp, except: (file: string) => boolean): string[] =>
  files
    .filter((file) => !except(file))
    .flatMap((file) =>
      textOf(file)
        .split('\n')
        .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1} ${line.trim()}`] : [])),
    );

describe('the architecture', () => {
  it('knows every room', () => {
    expect(files.filter((file) => floorOf(file) === -1)).toEqual([]);
  });

  it('stands in README from the top floor down', () => {
    const readme = readFileSync(join(__dirname, '..', 'README.md'), 'utf8');
    const table = readme.slice(readme.indexOf('| `src/`')).split('\n\n')[0] ?? '';
    const rooms = [...table.matchAll(/^\| `([^`]+)`/gm)].map(([, name = '']) =>
      name.replace(/\/$|\.ts$/, ''),
    );

    const floors = rooms.slice(1).map((room) => FLOORS.findIndex((names) => names.includes(room)));

    expect(rooms.slice(1).sort()).toEqual(FLOORS.flat().sort());
    expect(floors).toEqual([...floors].sort((a, b) => b - a));
  });

  it('has rooms import from lower floors only', () => {
    const wrong = imports
      .filter(({ from, to }) => roomOf(from) !== roomOf(to) && floorOf(to) >= floorOf(from))
      .map(({ from, to }) => `${from} -> ${to}`);

    expect(wrong).toEqual([]);
  });

  it('has no import cycles', () => {
    const cycles: string[] = [];
    const finished = new Set<string>();
    const visit = (file: string, path: string[]): void => {
      if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
      if (path.includes(file) || finished.has(file)) return;
      for (const { to } of imports.filter(({ from }) => from === file)) visit(to, [...path, file]);
      finished.add(file);
    };
    for (const file of files) visit(file, []);

    expect(cycles).toEqual([]);
  });

  it('has one reader of the environment', () => {
    const programs = (file: string) => ['main.ts', 'cli/main.ts', 'cli/demo.ts'].includes(file);

    expect(linesWith(/process\.env/, programs)).toEqual([]);
    for (const file of files.filter(programs))
      expect(textOf(file).match(/process\.env/g)).toEqual(['process.env']);
  });

  it('has one door to the database', () => {
    const inside = (file: string) =>
      roomOf(file) === 'database' || ['app.ts', 'app.module.ts'].includes(file);

    expect(
      linesWith(/InjectRepository|InjectDataSource|\bDataSource\b|createQueryRunner|getRepository/, inside),
    ).toEqual([]);
  });

  it('has requests that take the lock of an account wait for each other first', () => {
    // Of an operator's commands there are no hundreds at a time, and some learn of the account only inside.
    const request = (file: string) => !basename(file).startsWith('operator-');
    const nameless =
      /transactions\.run\((?:(?!\n {2}}\n)[^])*?(?:lockAccount|lockForCaller|takeAccount|requireStillProven|setScopes)\(/;

    expect(files.filter((file) => request(file) && nameless.test(textOf(file)))).toEqual([]);
  });

  it('has one source of time and one of randomness', () => {
    const sources = (file: string) => ['core/clock.ts', 'core/random.ts'].includes(file);
    // Before there is an application: how long to wait for another process that opens the file.
    const starting = (file: string) => file === 'database/sqlite-connection.ts';

    expect(
      linesWith(
        /Date\.now|new Date\(\)|performance\.now|Math\.random|randomBytes|randomUUID|randomInt/,
        (file) => [sources, starting].some((exempt) => exempt(file)),
      ),
    ).toEqual([]);
  });

  it('has no glue for circles, and loads nothing late', () => {
    // What is used only where it is configured is loaded only there.
    const configured = (file: string) => file === 'observability/observability.ts';

    expect(linesWith(/forwardRef|ModuleRef|\bimport\(|\brequire\(/, configured)).toEqual([]);
    expect(
      linesWith(/from '(prom-client|@opentelemetry\/.*)'/, (file) => /^observability\/[a-z]+-/.test(file)),
    ).toEqual([]);
  });

  it('says what went wrong in the error table only', () => {
    expect(linesWith(/throw new \w*Exception/, () => false)).toEqual([]);
  });

  it('touches cryptography in one room', () => {
    // The last only reads what it is given.
    const allowed = (file: string) =>
      roomOf(file) === 'crypto' || ['core/random.ts', 'config/certificates.ts'].includes(file);

    expect(linesWith(/from 'node:crypto'/, allowed)).toEqual([]);
  });

  it('records every event of the closed list somewhere, with every reason', () => {
    const list = 'audit/security-event.ts';
    const others = files.filter((file) => file !== list).map(textOf);
    const words = [...textOf(list).matchAll(/'(\w+)'/g)].map(([, word]) => word as string);

    expect(words.length).toBeGreaterThan(20);
    expect(words.filter((word) => !others.some((text) => text.includes(`'${word}'`)))).toEqual([]);
  });

  it('has a row in the documentation for every event, and none for others', () => {
    const page = readFileSync(join(src, '..', 'docs', 'operations.md'), 'utf8');
    const rows = [...page.matchAll(/^\| `(\w+)` +\|/gm)].map(([, type]) => type as string);
    const types = [...textOf('audit/security-event.ts').matchAll(/type: '(\w+)'/g)].map(([, type]) => type);
    const known = new Set(types);

    expect([...known].filter((type) => !rows.includes(type as string))).toEqual([]);
    expect(rows.filter((row) => /^[a-z_]+$/.test(row) && !known.has(row))).toEqual([]);
  });

  it('starts no other program', () => {
    expect(linesWith(/child_process/, () => false)).toEqual([]);
  });
});
