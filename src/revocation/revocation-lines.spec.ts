import type { EntityManager } from 'typeorm';
import { isReadOnly } from '../database/failures';
import { readNextPage, readStanding } from './revocation-lines';

/** A unit of work at a MySQL server that answers this to every statement. */
const answeredWith = (row: object) =>
  ({
    dataSource: { options: { type: 'mysql' } },
    queryRunner: { query: () => Promise.resolve({ records: [row] }) },
  }) as unknown as EntityManager;

describe('the lines of the revocation feed', () => {
  const stretch = { from: 0, upTo: 10, endingAfter: new Date(0) };
  const line = {
    position: '7',
    subject: 'session',
    subjectId: 'sess_7',
    expiresAt: new Date(1000),
    time: '',
  };

  it.each([
    ['how the feed stands', readStanding],
    ['a page that is not the first', readNextPage],
  ])('are not read from a server that takes no writes: %s', async (_, read) => {
    const tx = answeredWith({ ...line, isReadOnly: 1 });

    const error: unknown = await read(tx, stretch).catch((thrown: unknown) => thrown);

    expect(isReadOnly(error)).toBe(true);
  });

  it('are read from one that takes them', async () => {
    const [read] = await readNextPage(answeredWith({ ...line, isReadOnly: 0 }), stretch);

    expect(read).toMatchObject({ position: '7', subjectId: 'sess_7', expiresAt: new Date(1000) });
  });
});
