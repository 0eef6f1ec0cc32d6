import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import requirements from './support/asvs-requirements.json';
import { testNames } from './support/spec-names';

const root = join(__dirname, '..');
const page = readFileSync(join(root, 'docs', 'asvs.md'), 'utf8');

const STATUSES = ['proved', 'documented', 'not met', 'not applicable'] as const;

interface Row {
  id: string;
  level: number;
  requirement: string;
  status: string;
  why: string;
  tests: { file: string; name: string }[];
  sections: { file: string; heading: string; anchor: string }[];
}

const rows: Row[] = page
  .split('\n')
  .filter((line) => /^\| \d+\.\d+\.\d+ \|/.test(line))
  .map((line) => {
    const [id = '', level, requirement = '', status = '', why = ''] = line
      .slice(2, -2)
      .split(' | ')
      .map((cell) => cell.trim());
    return {
      ...{ id, level: Number(level), requirement, status, why },
      tests: [...why.matchAll(/\[`([\w/.-]+spec\.ts)`: (.+?)\](?= |$)(?!\()/g)].map(
        ([, file = '', name = '']) => ({
          file,
          name,
        }),
      ),
      sections: [...why.matchAll(/\[([\w.-]+\.md): ([^\]]+)\]\(([\w.-]+\.md)#([\w-]+)\)/g)].map(
        ([, , heading = '', file = '', anchor = '']) => ({ file, heading, anchor }),
      ),
    };
  });

const applicable: Record<string, number> = requirements.applicable;
const levels: Record<string, number> = {
  ...applicable,
  ...requirements.conditional,
  ...requirements.byAnalogy,
};

/** As pages on the web make it of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\w -]/g, '')
    .replaceAll(' ', '-');

describe('docs/asvs.md', () => {
  it('has one row for each requirement that concerns a service like this one, with its level', () => {
    expect(Object.keys(applicable)).toHaveLength(202);
    expect(Object.fromEntries(rows.map(({ id, level }) => [id, level]))).toEqual(levels);
    expect(rows).toHaveLength(Object.keys(levels).length);
    expect(rows.filter(({ requirement, why }) => requirement.length < 10 || why === '')).toEqual([]);
  });

  it('gives a reason for each of the others', () => {
    const begin = page.indexOf('## What does not apply\n');
    const groups = page
      .slice(begin)
      .split('\n')
      .filter((line) => line.startsWith('- '))
      .map((line) => ({
        reason: line.slice(2, line.search(/: \d/)),
        ids: line.match(/\d+\.\d+\.\d+/g) ?? [],
      }));

    expect(groups.flatMap(({ ids }) => ids).sort()).toEqual([...requirements.notApplicable].sort());
    expect(groups.filter(({ reason }) => reason.length < 20)).toEqual([]);
    expect(requirements.notApplicable.filter((id) => id in levels)).toEqual([]);
    expect(Object.keys(levels).length + requirements.notApplicable.length).toBe(345);
  });

  it('names for what is proved the tests that prove it', () => {
    const proved = rows.filter(({ status }) => status === 'proved');

    expect(proved.length).toBeGreaterThan(100);
    expect(proved.filter(({ tests }) => tests.length === 0).map(({ id }) => id)).toEqual([]);
  });

  it('names tests that exist, by their whole names', () => {
    const known = new Map<string, string[]>();
    const namesIn = (file: string): string[] => {
      const names = known.get(file) ?? (existsSync(join(root, file)) ? testNames(join(root, file)) : []);
      known.set(file, names);
      return names;
    };

    const missing = rows.flatMap(({ id, tests }) =>
      tests.filter(({ file, name }) => !namesIn(file).includes(name)).map((test) => ({ id, ...test })),
    );

    expect(missing).toEqual([]);
    // Each reference was understood.
    for (const { id, why, tests } of rows)
      expect([id, (why.match(/\[`/g) ?? []).length]).toEqual([id, tests.length]);
  });

  it('names for what is documented the sections that say so, and they exist', () => {
    const documented = rows.filter(({ status }) => status === 'documented');
    const missing = rows.flatMap(({ id, sections }) =>
      sections
        .filter(({ file, heading, anchor }) => {
          const path = join(root, 'docs', file);
          const headings = existsSync(path) ? (readFileSync(path, 'utf8').match(/^#+ .+$/gm) ?? []) : [];
          return (
            anchor !== anchorOf(heading) || !headings.some((line) => line.replace(/^#+ /, '') === heading)
          );
        })
        .map((section) => ({ id, ...section })),
    );

    expect(documented.filter(({ sections }) => sections.length === 0).map(({ id }) => id)).toEqual([]);
    expect(missing).toEqual([]);
    for (const { id, why, sections } of rows)
      expect([id, (why.match(/\.md#/g) ?? []).length]).toEqual([id, sections.length]);
  });

  it('says why what is not met is not, and why what does not apply does not', () => {
    const words = ({ why }: Row) => why.replace(/\[[^\]]*\](\([^)]*\))?/g, '').trim();

    const silent = rows.filter(
      (row) => ['not met', 'not applicable'].includes(row.status) && words(row).length < 10,
    );
    expect(silent.map(({ id }) => id)).toEqual([]);
    expect(rows.filter(({ status }) => !STATUSES.includes(status as never))).toEqual([]);
  });

  it('counts right at its head', () => {
    const count = (level: number | undefined, status: string) =>
      rows.filter(
        (row) => row.id in applicable && row.status === status && (level ?? row.level) === row.level,
      ).length;
    const line = (name: string, level?: number) => {
      const counts = STATUSES.map((status) => count(level, status));
      return `| ${[name, ...counts, counts.reduce((sum, one) => sum + one)].join(' | ')} |`;
    };

    const head = page.slice(0, page.indexOf('\n## ')).replace(/\s+/g, ' ');
    for (const expected of [line('1', 1), line('2', 2), line('3', 3), line('all')])
      expect(head).toContain(expected);
    expect(head).toContain(`of the ${Object.keys(applicable).length} requirements`);
    for (const [status, words] of [
      ['proved', 'are proved'],
      ['documented', 'are documented'],
      ['not met', 'are not met'],
    ] as const)
      expect(head).toContain(`**${count(undefined, status)} ${words}**`);
  });
});
