import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastLineOf } from './last-line';

describe('the last line of a file', () => {
  let folder: string;
  beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'latchkey-last-line-'))));
  afterAll(() => rmSync(folder, { recursive: true }));

  const file = (text: string): string => {
    const path = join(folder, 'lines');
    writeFileSync(path, text);
    return path;
  };
  const many = 'a line before it\n'.repeat(10_000);

  it.each([
    ['of many', `${many}the last\n`, 'the last'],
    ['that nothing ends', `${many}the last`, 'the last'],
    ['before empty ones', `${many}the last\r\n\n\n`, 'the last'],
    ['that is the only one', 'the last', 'the last'],
    ['of none', '', ''],
  ])('is found: one %s', (_, text, expected) => {
    expect(lastLineOf(file(text))).toBe(expected);
  });

  it('is found in what comes through a pipe', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const writer = spawn('sh', ['-c', 'exec cat "$1" > "$2"', 'sh', file(`${many}the last\n`), pipe]);
    const written = once(writer, 'close');

    const found = lastLineOf(pipe);

    expect(found).toBe('the last');
    await written;
  });
});
