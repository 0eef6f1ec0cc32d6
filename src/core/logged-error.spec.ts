import { describeError } from './logged-error';

/** An error as drivers make them. */
const failure = (message: string, marks: object): Error => Object.assign(new Error(message), marks);

const SECRET = 'my "p@ss\'word`\n    at home';

describe('an error, as it is written', () => {
  it('is its type, words, calls and codes, and those of what lies underneath', () => {
    const cause = failure('connect ECONNREFUSED 127.0.0.1:3306', { code: 'ECONNREFUSED', errno: -111 });
    const error = new TypeError('Something is wrong', { cause });

    expect(describeError(error)).toEqual({
      type: 'TypeError',
      message: 'Something is wrong',
      stack: error.stack,
      cause: {
        type: 'Error',
        message: 'connect ECONNREFUSED 127.0.0.1:3306',
        stack: cause.stack,
        code: 'ECONNREFUSED',
        errno: -111,
      },
    });
  });

  it.each([
    ['TypeORM', { query: 'SELECT ?', parameters: [SECRET], driverError: failure('x', { sql: SECRET }) }],
    ['MySQL', { code: 'ER_X', errno: 1, sqlState: '23000', sql: SECRET, sqlMessage: SECRET }],
    ['SQLite', { code: 'ERR_SQLITE_ERROR', errcode: 2067, errstr: SECRET }],
    ['a client of Redis', { command: { name: 'set', args: [SECRET] } }],
    ['anybody', { input: SECRET, body: { password: SECRET }, toJSON: () => SECRET }],
  ])('is nothing else that hangs on it: by %s', (_, marks) => {
    const written = describeError(failure('The statement failed', marks));

    expect(written).toMatchObject({ type: 'Error', message: 'The statement failed' });
    expect(JSON.stringify(written)).not.toContain(JSON.stringify(SECRET).slice(1, -1));
  });

  it.each([
    [1062, `Duplicate entry '${SECRET}' for key 'users.uq_users_username'`, 'Duplicate entry …'],
    [1366, `Incorrect string value: '${SECRET}' for column 'username' at row 1`, 'Incorrect string value: …'],
    [1292, `Truncated incorrect INTEGER value: '${SECRET}'`, 'Truncated incorrect INTEGER value: …'],
    [1064, `You have an error near '${SECRET}`, 'You have an error near …'],
    [1406, "Data too long for column 'username' at row 1", 'Data too long for column …'],
    [1205, 'Lock wait timeout exceeded; try restarting transaction', undefined],
    [1146, "Table 'latchkey.users' doesn't exist", undefined],
    [1045, "Access denied for user 'latchkey'@'localhost'", undefined],
  ])('quotes no value of a statement, but names that tell what to mend: MySQL %i', (errno, said, written) => {
    const { message, stack } = describeError(failure(said, { errno, sqlState: 'HY000' }));

    expect(message).toBe(written ?? said);
    expect(stack).toMatch(/^Error: /);
    expect(stack).toContain(`${message}\n    at `);
    expect(stack).not.toContain('p@ss');
    expect(stack).not.toContain('at home');
  });

  it('is bounded, also when each has another one underneath', () => {
    const endless = new Error('again');
    endless.cause = endless;

    expect(JSON.stringify(describeError(endless)).match(/"message"/g)?.length).toBeLessThan(10);
  });

  it.each(['my password', 42, null, undefined, { password: SECRET }])(
    'is nothing but a type where it is no error: %p',
    (thrown) => expect(describeError(thrown)).toEqual({ type: typeof thrown }),
  );
});
