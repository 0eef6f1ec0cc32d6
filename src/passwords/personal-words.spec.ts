import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { personalWords } from './personal-words';

const OWNER = { username: 'Jane.Doe_1984', email: 'J.Miller@Example.com' };

describe('the words that stand for a person', () => {
  it('are the user name, the address and their parts, in lower case, the longest first', () => {
    expect(personalWords(OWNER, 'latchkey')).toEqual([
      'j.miller@example.com',
      'jane.doe_1984',
      'j.miller',
      'latchkey',
      'example',
      'miller',
      'jane',
      '1984',
    ]);
  });

  it('are also those in the address of the service', () => {
    const words = personalWords(OWNER, 'https://login.acme-tools.example:8443/auth');

    expect(words).toEqual(expect.arrayContaining(['login.acme-tools.example', 'acme', 'tools']));
  });

  it('are those that docs/security.md lists for an example, and no others', () => {
    const page = readFileSync(join(__dirname, '..', '..', 'docs', 'security.md'), 'utf8');
    const begin = page.indexOf('The words of which no password may be made');
    const [example = '', table = ''] = page.slice(begin).split('\n\n');
    const quoted = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word);
    const [username = '', email = '', , issuer = ''] = quoted(example);

    const listed = table.split('\n').flatMap((row) => quoted(row.split('|')[2] ?? ''));

    expect(listed.sort()).toEqual(personalWords({ username, email }, issuer).sort());
  });
});
