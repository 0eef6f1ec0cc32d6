import { Readable } from 'node:stream';
import { IMPORT_BATCH_SIZE } from '../users/user-import';
import { CommandError } from './command';
import { type ImportFormat, LONGEST_LINE, readLines } from './import-source';

const HEADER = 'username,email,passwordHash\n';

/** Lines of about 2 KiB, so that the bytes that a stream holds ready are few lines. */
const FILLING = 'x'.repeat(2_000);

const LINES: [ImportFormat, string, string][] = [
  ['ndjson', 'fit', `{"username":"${FILLING}"}\n`],
  ['ndjson', 'are no JSON', `${FILLING}\n`],
  ['csv', 'fit', `${FILLING},,\n`],
  ['csv', 'have a cell too few', `${FILLING},\n`],
  ['csv', 'have a quote in the middle', `${FILLING}",,\n`],
];

const toBytes = (text: string): Readable => Readable.from([Buffer.from(text)]);

describe('what an import reads', () => {
  it.each(LINES)('is %s, never far ahead of who asks, where lines %s', async (format, _, line) => {
    const count = 400;
    let read = 0;
    const source = Readable.from(
      (function* () {
        if (format === 'csv') yield Buffer.from(HEADER);
        while (read < count) {
          read += 1;
          yield Buffer.from(line);
        }
      })(),
    );
    let [told, furthest] = [0, 0];

    for await (const _line of readLines(source, format)) {
      told += 1;
      furthest = Math.max(furthest, read - told);
    }

    expect(told).toBe(count);
    expect(furthest).toBeLessThan(IMPORT_BATCH_SIZE);
  });

  it('is told of in the order of the lines, those that do not fit among the others', async () => {
    const csv = `${HEADER}one,,\ntwo\nthree,,\nfour",,\nfive`;

    const lines = await Readable.from(readLines(toBytes(csv), 'csv')).toArray();

    expect(lines).toEqual([
      { line: 2, record: { username: 'one' } },
      { line: 3, unreadable: expect.stringContaining('CSV_RECORD_INCONSISTENT_COLUMNS') as string },
      { line: 4, record: { username: 'three' } },
      { line: 5, unreadable: expect.stringContaining('INVALID_OPENING_QUOTE') as string },
      { line: 6, unreadable: expect.stringContaining('CSV_RECORD_INCONSISTENT_COLUMNS') as string },
    ]);
  });

  it('is given up at a line of CSV that is too long, instead of losing those behind it', async () => {
    const csv = `${HEADER}one,,\n${'x'.repeat(2 * LONGEST_LINE)},,\nthree,,\n`;

    const reading = Readable.from(readLines(toBytes(csv), 'csv')).toArray();

    await expect(reading).rejects.toThrow(/cannot be read as CSV: Max Record Size: .* at line 3/);
  });

  it.each<ImportFormat>(['ndjson', 'csv'])(
    'is given up with a sentence where %s fails in the middle',
    async (format) => {
      const failure = Object.assign(new Error('the disk is broken'), { code: 'EIO' });
      const source = Readable.from(
        (function* () {
          yield Buffer.from(format === 'csv' ? `${HEADER}one,,\n` : '{"username":"one"}\n');
          throw failure;
        })(),
      );

      const reading = Readable.from(readLines(source, format)).toArray();

      await expect(reading).rejects.toEqual(new CommandError('Standard input cannot be read (EIO).'));
      await expect(reading).rejects.toBeInstanceOf(CommandError);
    },
  );
});
