import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { MOST_KEPT_BYTES, openLogOutput } from './log-output';

/** A device on which nothing has room. */
const FULL = '/dev/full';

describe('the output of the log', () => {
  let folder: string;
  let fd: number;
  let lost: number[];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'latchkey-log-'));
    fd = openSync(FULL, 'w');
    lost = [];
  });
  afterEach(() => {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  const open = () => openLogOutput(fd, (lines) => lost.push(lines));
  /** As when somebody has made room: the same descriptor takes what is written. */
  const makeRoom = (): string => {
    const file = join(folder, 'log');
    closeSync(fd);
    // A descriptor that is new is the least that is free.
    expect(openSync(file, 'w')).toBe(fd);
    return file;
  };

  it('keeps the lines that find no room, and writes them with the next one that does', async () => {
    const output = open();
    output.write('first\n');
    output.write('second\n');

    const file = makeRoom();
    output.write('third\n');
    await setImmediate();

    expect(readFileSync(file, 'utf8')).toBe('first\nsecond\nthird\n');
    expect(lost).toEqual([]);
  });

  it('keeps no more than its bound, and says how many lines are lost', async () => {
    const output = open();
    const line = `${'x'.repeat(1023)}\n`;
    const kept = MOST_KEPT_BYTES / line.length;
    for (let count = 0; count < kept + 7; count += 1) output.write(line);

    const file = makeRoom();
    output.write('last\n');
    await setImmediate();
    output.write('later\n');
    await setImmediate();

    const written = readFileSync(file, 'utf8');
    expect(written.startsWith(line.repeat(kept))).toBe(true);
    expect([written.slice(MOST_KEPT_BYTES), lost]).toEqual(['later\n', [8]]);
  });
});
