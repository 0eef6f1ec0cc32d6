import { cpus } from 'node:os';
import type { Measurement } from './load';
import { median } from './load';

/** One workload on one engine: each round's figures of ours beside those of the floor. */
export interface Comparison {
  workload: string;
  floor: string;
  ours: Measurement[];
  floors: Measurement[];
  /** What the ratio is of. `beside` is none: the processor time that comes on top of the floor's, in milliseconds. */
  by: 'cpu' | 'rate' | 'p99' | 'beside';
  /** What we mean to reach; at least, but for `p99` and `beside` at most. Absent where the figure is only of interest. */
  target?: number;
}

/** What each start took of time and memory. */
export interface Footprint {
  ours: { milliseconds: number; megabytes: number }[];
  floors: { milliseconds: number; megabytes: number }[];
}

/** Figures and ratios as a Markdown table. Each ratio is the median of the rounds' own, so that both sides of it had the same machine. */
export function table(engine: string, comparisons: readonly Comparison[]): string {
  const rows = comparisons.map((comparison) => {
    const { workload, floor, ours, floors, target, by } = comparison;
    const ratio = median(ours.map((one, round) => ratioOf(by, one, floors[round] ?? one)));
    return [
      workload,
      figures(ours),
      `${floor}: ${figures(floors)}`,
      `**${ratio.toFixed(2)}${by === 'beside' ? ' ms' : ''}** (${WHAT[by]})`,
      verdict(by, ratio, target),
    ];
  });
  return [
    `### ${engine}`,
    '',
    '| Workload | Latchkey | Floor in the same run | Ratio | Target |',
    '|---|---|---|---|---|',
    ...rows.map((row) => `| ${row.join(' | ')} |`),
    '',
  ].join('\n');
}

/** Start and memory beside a bare Nest application's. */
export function footprint(engine: string, { ours, floors }: Footprint): string {
  const line = (what: string, field: 'milliseconds' | 'megabytes', unit: string, target: number) => {
    const mine = median(ours.map((one) => one[field]));
    const floor = median(floors.map((one) => one[field]));
    const ratio = mine / floor;
    return `| ${what} | ${mine.toFixed(0)} ${unit} | ${floor.toFixed(0)} ${unit} | **${ratio.toFixed(2)}** | ≤ ${target}${ratio <= target ? '' : ', missed'} |`;
  };
  return [
    `| At the start, ${engine} | Latchkey | Bare Nest and Fastify | Ratio | Target |`,
    '|---|---|---|---|---|',
    line('first answer', 'milliseconds', 'ms', 1.5),
    line('resident memory', 'megabytes', 'MB', 2),
    '',
  ].join('\n');
}

/** What memory the workloads have left behind, beside what they have left of the minimal server. Of interest only. */
export function memoryAfter(engine: string, { ours, minimal }: { ours: number; minimal: number }): string {
  return [
    `| After all of this, ${engine} | Latchkey | Minimal server | Ratio |`,
    '|---|---|---|---|',
    `| resident memory | ${ours.toFixed(0)} MB | ${minimal.toFixed(0)} MB | **${(ours / minimal).toFixed(2)}** |`,
    '',
  ].join('\n');
}

/** The machine, in a line. */
export function machine(): string {
  return `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim()}`;
}

const WHAT = {
  cpu: 'processor time',
  rate: 'answers a second',
  p99: 'p99',
  beside: 'processor time on top',
};

function ratioOf(by: Comparison['by'], ours: Measurement, floor: Measurement): number {
  if (by === 'cpu') return floor.cpuMilliseconds / ours.cpuMilliseconds;
  if (by === 'beside') return ours.cpuMilliseconds - floor.cpuMilliseconds;
  return by === 'rate' ? ours.perSecond / floor.perSecond : ours.p99 / floor.p99;
}

function verdict(by: Comparison['by'], ratio: number, target: number | undefined): string {
  if (target === undefined) return '';
  if (by === 'beside') return `≤ ${target} ms${ratio <= target ? '' : ', missed'}`;
  if (by === 'p99') return `≤ ${target}${ratio <= target ? '' : ', missed'}`;
  return `≥ ${target}${ratio >= target ? '' : ', missed'}`;
}

function figures(measured: readonly Measurement[]): string {
  const of = (field: keyof Measurement) => median(measured.map((one) => one[field]));
  return `${of('cpuMilliseconds').toFixed(3)} ms CPU, ${of('perSecond').toFixed(0)}/s${of('p99') >= 0 ? `, p99 ${of('p99')} ms` : ''}`;
}
