import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
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

  it('tries what it keeps again by itself where no further line comes', async () => {
    const output = open();
    output.write('the last for a long time\n');

    const file = makeRoom();
    while (readFileSync(file, 'utf8') === '') await setImmediate();

    expect(readFileSync(file, 'utf8')).toBe('the last for a long time\n');
    expect(lost).toEqual([]);
  });

  describe('into a pipe whose reader stands still', () => {
    const LINE = `${'x'.repeat(1023)}\n`;
    let reader: ChildProcess;
    beforeEach(() => {
      const pipe = join(folder, 'pipe');
      execFileSync('mkfifo', [pipe]);
      closeSync(fd);
      // Both ends, so that there is always somebody who could read.
      expect(openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK)).toBe(fd);
      // Whoever waited for room would go on when this one comes.
      reader = spawn('sh', ['-c', 'sleep 3; exec cat "$0"', pipe], { stdio: 'ignore' });
    });
    afterEach(() => reader.kill('SIGKILL'));

    /** What the pipe holds. */
    const read = (): string => {
      const chunk = Buffer.alloc(64 * 1024);
      let text = '';
      try {
        for (;;) text += chunk.toString('utf8', 0, readSync(fd, chunk));
      } catch (error) {
        expect(error).toMatchObject({ code: 'EAGAIN' });
        return text;
      }
    };
    const readAll = async (bytes: number): Promise<string> => {
      let text = read();
      while (text.length < bytes) {
        await setImmediate();
        text += read();
      }
      return text;
    };
    const timed = (work: () => void): number => {
      const begun = performance.now();
      work();
      return performance.now() - begun;
    };

    it('does not wait for it, and writes every line once it is read again', async () => {
      const output = open();
      const lines = 200;

      const milliseconds = timed(() => {
        for (let count = 0; count < lines; count += 1) output.write(LINE);
      });

      expect(milliseconds).toBeLessThan(1_000);
      expect(await readAll(lines * LINE.length)).toBe(LINE.repeat(lines));
      expect(lost).toEqual([]);
    });

    it('keeps no more than its bound, and says how many lines are lost', async () => {
      const output = open();
      const lines = 400;
      for (let count = 0; count < lines; count += 1) output.write(LINE);

      const written = await readAll(MOST_KEPT_BYTES);
      while (lost.length === 0) await setImmediate();

      const [missing = 0] = lost;
      expect(missing).toBeGreaterThan(0);
      expect(`${written}${read()}`.length / LINE.length).toBe(lines - missing);
    });

    it('waits at the end of the process for a quarter of a second, and not for ever', async () => {
      const output = open();
      for (let count = 0; count < 100; count += 1) output.write(LINE);

      const milliseconds = timed(() => output.writeLast());

      expect(milliseconds).toBeGreaterThanOrEqual(250);
      expect(milliseconds).toBeLessThan(1_000);
      await readAll(100 * LINE.length);
    });
  });
});
