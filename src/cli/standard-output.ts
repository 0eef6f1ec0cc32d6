import { once } from 'node:events';
import type { Listing, Report, Table } from './command';
import type { Progress } from './progress';

/** Writes what a command answers, row by row where there are rows. */
export async function printAnswer(
  answer: Report | Listing,
  json: boolean,
  progress: Progress,
): Promise<void> {
  progress.end();
  if (!('rows' in answer)) return print(json ? asJson(answer.data) : visible(answer.text));
  const table = json ? undefined : answer.table;
  if (table) await print(aligned(headings(table), table));
  let count = 0;
  for await (const row of answer.rows) {
    await print(table ? aligned(table.cells(row as never), table) : asJson(row));
    count += 1;
    // Whoever sees the rows themselves sees how far it is.
    if (!process.stdout.isTTY) progress.show(`${count} rows`);
  }
}

/** Waits until what was written has been taken, by whoever takes it. */
export async function flushed(): Promise<void> {
  const written = [process.stdout, process.stderr].map(
    (stream) => new Promise<void>((resolve) => stream.write('', () => resolve())),
  );
  await Promise.all(written);
}

/** Writes a line, and waits while the reader is behind, so that lines do not pile up in memory. */
async function print(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}

function headings({ columns }: Table): string[] {
  return columns.map(({ heading }) => heading);
}

/** What a client has sent may hold what moves a terminal's cursor: in JSON it can be written otherwise. */
function asJson(data: unknown): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(data).replaceAll(/\p{C}/gu, (character) => character.split('').map(escaped).join(''));
}

/** The same for text of several lines. */
function visible(text: string): string {
  return text.replaceAll(/[^\P{C}\n]/gu, '\uFFFD');
}

function aligned(cells: string[], { columns }: Table): string {
  return cells
    .map((cell, index) => cell.replaceAll(/\p{C}/gu, '\uFFFD').padEnd(columns[index]?.width ?? 0))
    .join('  ')
    .trimEnd();
}
