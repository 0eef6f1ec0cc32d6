import { once } from 'node:events';
import type { Listing, Report, Table } from './command';
import type { Progress } from './progress';

/** Whoever reads our lines may have enough of them: `| head`. That is no failure, and nobody is left to tell of one. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

/** Writes what a command answers, row by row where there are rows. */
export async function printAnswer(
  answer: Report | Listing,
  json: boolean,
  progress: Progress,
): Promise<void> {
  progress.end();
  if (!('rows' in answer)) return print(json ? JSON.stringify(answer.data) : answer.text);
  const table = json ? undefined : answer.table;
  if (table) await print(aligned(headings(table), table));
  let count = 0;
  for await (const row of answer.rows) {
    await print(table ? aligned(table.cells(row as never), table) : JSON.stringify(row));
    count += 1;
    // Whoever sees the rows themselves sees how far it is.
    if (!process.stdout.isTTY) progress.show(`${count} rows`);
  }
}

/** Writes a line, and waits while the reader is behind, so that lines do not pile up in memory. */
async function print(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}

function headings({ columns }: Table): string[] {
  return columns.map(({ heading }) => heading);
}

/** What a client has sent may hold what moves a terminal's cursor. */
function aligned(cells: string[], { columns }: Table): string {
  return cells
    .map((cell, index) => cell.replaceAll(/\p{C}/gu, '\uFFFD').padEnd(columns[index]?.width ?? 0))
    .join('  ')
    .trimEnd();
}
