import type { MysqlLocation } from '../config/database-location';
import { describeRefusal } from './mysql-connection';

const LOCATION: MysqlLocation = {
  engine: 'mysql',
  host: 'db.example',
  port: 3306,
  user: 'latchkey',
  password: 'kettle-lagoon',
  database: 'auth',
};

describe('a server that is of no use', () => {
  it.each([
    ['ER_ACCESS_DENIED_ERROR', /refuses user 'latchkey' .* whether the server wants TLS/],
    ['ER_DBACCESS_DENIED_ERROR', /refuses user 'latchkey' on database 'auth'/],
    ['ER_BAD_DB_ERROR', /has no database 'auth'/],
    ['ER_SECURE_TRANSPORT_REQUIRED', /encrypted connections only; put \?ssl-mode=VERIFY_IDENTITY/],
    ['HANDSHAKE_NO_SSL_SUPPORT', /speaks no TLS/],
    ['HANDSHAKE_SSL_ERROR', /does not prove that it is db\.example \(why\)/],
    ['ECONNREFUSED', /cannot be reached \(ECONNREFUSED\)/],
    [undefined, /cannot be reached \(no answer\)/],
  ])('is told of with what to change, and no password: %s', (code, sentence) => {
    const said = describeRefusal(LOCATION, Object.assign(new Error('why'), { code }));

    expect(said).toMatch(/^The MySQL server at db\.example:3306 .*\.$/);
    expect(said).toMatch(sentence);
    expect(said).not.toContain(LOCATION.password);
  });
});
