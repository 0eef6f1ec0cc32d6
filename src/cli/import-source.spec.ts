import { Readable } from 'node:stream';
import { IMPORT_BATCH_SIZE } from '../users/user-import';
import { CommandError } from './command';
import { type ImportFormat, readLines } from './import-source';
import { LONGEST_LINE } from './source-lines';

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

  const OPEN = 'a quote is left open, and no cell goes on in the next line';
  const MISPLACED = 'a quote stands in the middle of a cell';
  const behind = (line: number) => `it stands behind the quote that line ${line} leaves open`;
  const long = 'x'.repeat(2 * LONGEST_LINE);

  it.each<[string, string, Record<number, object | string>]>([
    [
      'lines that do not fit among others',
      'one,,\ntwo\nthree,,\nfour",,\nfive',
      {
        2: { username: 'one' },
        3: 'the line does not have as many cells as the header: 1 and 3',
        4: { username: 'three' },
        5: MISPLACED,
        6: 'the line does not have as many cells as the header: 1 and 3',
      },
    ],
    [
      'a cell that begins with a quote',
      'one,,\n"two,,\nthree,,\n\nfour,,\n',
      { 2: { username: 'one' }, 3: OPEN, 4: behind(3), 6: behind(3) },
    ],
    [
      'a last cell without its closing quote',
      '"one","a","b"\n"two","a","b\n"three","a","b"\n"four","a","b"\n',
      {
        2: { username: 'one', email: 'a', passwordHash: 'b' },
        3: OPEN,
        4: behind(3),
        5: { username: 'four', email: 'a', passwordHash: 'b' },
      },
    ],
    ['a line with several faults', 'four"x",a,b,c\nfive,,\n', { 2: MISPLACED, 3: { username: 'five' } }],
    [
      'a cell with a line break, though it hold what looks like a line',
      '"one\r\nroot,root@example.com,hash\r\n",,\r\ntwo,,\r\n',
      { 2: OPEN, 3: behind(2), 4: behind(2), 5: { username: 'two' } },
    ],
    [
      'lines that are too long',
      `${long},,\ntwo,,\n"${long}\nfour,,\n${long}",,\nsix,,\n`,
      {
        2: `the line is longer than ${LONGEST_LINE} bytes`,
        3: { username: 'two' },
        4: `the line is longer than ${LONGEST_LINE} bytes`,
        5: behind(4),
        6: behind(4),
        7: { username: 'six' },
      },
    ],
    [
      'quotes that belong to a cell',
      '"o""ne","",\n"""two""",,\n',
      { 2: { username: 'o"ne' }, 3: { username: '"two"' } },
    ],
  ])('has one outcome for each line of CSV, under its own number: %s', async (_, body, expected) => {
    const lines = await Readable.from(readLines(toBytes(HEADER + body), 'csv')).toArray();

    expect(lines).toEqual(
      Object.entries(expected).map(([line, outcome]) => ({
        line: Number(line),
        ...(typeof outcome === 'string' ? { unreadable: outcome } : { record: outcome }),
      })),
    );
  });

  it('is no line of CSV that is not UTF-8, and those behind it as if it were', async () => {
    const bytes = Buffer.from(`${HEADER}one,,"p\xffq"\n"\xff,,\nthree,,\n",,\nfive,,\n`, 'latin1');

    const lines = await Readable.from(readLines(Readable.from([bytes]), 'csv')).toArray();

    expect(lines).toEqual([
      { line: 2, unreadable: 'the line is not UTF-8' },
      { line: 3, unreadable: 'the line is not UTF-8' },
      { line: 4, unreadable: behind(3) },
      { line: 5, unreadable: behind(3) },
      { line: 6, record: { username: 'five' } },
    ]);
  });

  it.each([
    ['with a field that is none', 'username,mail\n', "The header names 'mail', which is no field"],
    ['with a field twice', 'username,email,username\n', "The header names 'username' twice."],
    [
      'with a quote left open',
      '\n"username,email\n',
      'This cannot be read as CSV: line 2: a quote is left open',
    ],
    ['that is not UTF-8', 'username\xff\n', 'This cannot be read as CSV: line 1: the line is not UTF-8.'],
    ['that is too long', long, 'This cannot be read as CSV: line 1: the line is longer than'],
    ['of lines that end with CR', 'username,email\rone,\r', 'its lines end with CR alone; write LF or CRLF'],
  ])('is nothing of CSV with a header %s', async (_, text, sentence) => {
    const source = Readable.from([Buffer.from(text, 'latin1')]);

    const reading = Readable.from(readLines(source, 'csv')).toArray();

    await expect(reading).rejects.toThrow(sentence);
    await expect(reading).rejects.toBeInstanceOf(CommandError);
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
