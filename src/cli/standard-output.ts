import { once } from 'node:events';

/** Whoever reads our lines may have enough of them: `| head`. That is no failure, and nobody is left to tell of one. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

/** Writes a line, and waits while the reader is behind, so that lines do not pile up in memory. */
export async function print(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}
