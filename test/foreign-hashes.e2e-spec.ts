import { type LineOutcome, UserImport } from '../src/users/user-import';
import { startApp, type TestApp } from './support/app';
import { logIn, signUp } from './support/people';

const PASSWORD = 'nine brass kettles';

/** 75 bytes. */
const LONG_PASSWORD = 'kettle and brass lantern '.repeat(3);

/**
 * Hashes of these passwords as others made them: Python's bcrypt 3.2, argon2-cffi and passlib, and Django's and Werkzeug's
 * forms over Python's hashlib.
 */
const FOREIGN: [string, string][] = [
  ['bcrypt 2a', '$2a$04$T/Rt251g3dmm.DxVOj93MuyszmIyJSZeJGuuMYEZo21gjfhUtznOC'],
  ['bcrypt 2b', '$2b$04$d9Zn1ALZ9utoliBkxJbjLOsYDvp.eIOBUa5nt/B/WdV4fI9KtM4Q.'],
  ['bcrypt 2y, as PHP writes it', '$2y$04$d9Zn1ALZ9utoliBkxJbjLOsYDvp.eIOBUa5nt/B/WdV4fI9KtM4Q.'],
  ['bcrypt, as Django writes it', 'bcrypt$$2b$04$d9Zn1ALZ9utoliBkxJbjLOsYDvp.eIOBUa5nt/B/WdV4fI9KtM4Q.'],
  [
    'bcrypt over SHA-256, as Django writes it',
    'bcrypt_sha256$$2b$04$z7pFjCkoGEVJZmh0ExftNuGdqbyasYQg.JCci3wJSaQN/eb0UPNYq',
  ],
  ['Argon2i', '$argon2i$v=19$m=64,t=1,p=1$JVbt+cPtN7oA05/3tahb9Q$Fpx5WbhGadx4+cK+9xZAWw'],
  [
    'Argon2id with other parameters',
    '$argon2id$v=19$m=128,t=2,p=2$xNVbtX6hmeiz6LcxChBwAg$ZcLe8d3bwfs1dULSRIU2rA',
  ],
  [
    'Argon2id, as Django writes it',
    'argon2$argon2id$v=19$m=128,t=2,p=2$xNVbtX6hmeiz6LcxChBwAg$ZcLe8d3bwfs1dULSRIU2rA',
  ],
  [
    'scrypt, as passlib writes it',
    '$scrypt$ln=8,r=8,p=1$IURIaY0xRoixNmZMyblX6g$0xGdtawnvV+B5ysaZ7i+wCK1Dc05H68y63/EEBu5ea0',
  ],
  [
    'scrypt with two lanes',
    '$scrypt$ln=10,r=8,p=2$++++MDEyMzQ1Njc4OWFiYw$YMnaUg7sdesV+0zp7kB/0wbvTQ8Q8wZ8GuriavN9oDo',
  ],
  [
    'scrypt, as Django writes it',
    'scrypt$1024$seasalt12345$8$1$w/jUfQAIAfTYGSRZZlviLJpVoZ+gaun/F695pbPbn/zorehfLvNMneffzE7WvJSCFSw2w+DQvNSh8PWFe2xQ6g==',
  ],
  [
    'scrypt, as Werkzeug writes it',
    'scrypt:1024:8:1$seasalt12345$c3f8d47d000801f4d8192459665be22c9a55a19fa06ae9ff17af79a5b3db9ffce8ade85f2ef34c9de7dfcc4ed6bc9482152c36c3e0d0bcd4a1f0f5857b6c50ea',
  ],
  [
    'PBKDF2 with SHA-256, as Django writes it',
    'pbkdf2_sha256$1000$seasalt12345$gf7FNlviNLyvMUdLWIz09Sr/gdSxs1U+qw1bffyCIo0=',
  ],
  [
    'PBKDF2 with SHA-512, as Django writes it',
    'pbkdf2_sha512$1000$seasalt12345$IhdhfBhWESt3mtfv22cHyPhnyhl/hwr3kY4r5Kqi9WVEXu2LvoJbToc2g+hqePp4+HcN9Mtf+7BEQORwZ38pDQ==',
  ],
  [
    'PBKDF2 with SHA-256, as passlib writes it',
    '$pbkdf2-sha256$1000$....MDEyMzQ1Njc4OWFiYw$LSPtX4u1lwGyvorrWwc5dXbktb0HSSVSPl3cgy491qc',
  ],
  [
    'PBKDF2 with SHA-512, as passlib writes it',
    '$pbkdf2-sha512$500$ECJEaO09hxCCEMK411pLqQ$Y6reNQeXBQR7Wbqbr4TpG9sPTq55nLQEbJ9dZ8paCzqXFFgoZNAZDMrEnaN28rXsPbgJaIpwfQnO6PV1q1CPqw',
  ],
  [
    'PBKDF2 as a PHC string',
    '$pbkdf2-sha256$i=1000,l=32$++++MDEyMzQ1Njc4OWFiYw$LSPtX4u1lwGyvorrWwc5dXbktb0HSSVSPl3cgy491qc',
  ],
  [
    'PBKDF2, as Werkzeug writes it',
    'pbkdf2:sha256:1000$seasalt12345$81fec5365be234bcaf31474b588cf4f52aff81d4b1b3553eab0d5b7dfc82228d',
  ],
];

const TODAYS = /^\$argon2id\$v=19\$m=8,t=1,p=1\$/;

const ORIGIN = { ip: 'command line', userAgent: null, requestId: 'req_import' };

let count = 0;

/** Imports somebody whom no other test knows. */
async function importUser(app: TestApp, passwordHash: string) {
  count += 1;
  const imported = { username: `imported-${count}`, email: `imported-${count}@example.com`, passwordHash };
  const outcome = await importLine(app, imported);
  if (outcome?.kind !== 'imported') throw new Error(`Not imported: ${JSON.stringify(outcome)}`);
  return { ...imported, id: await idOf(app, imported.username) };
}

/** What becomes of a single line. */
async function importLine(app: TestApp, record: object): Promise<LineOutcome | undefined> {
  async function* lines() {
    yield await Promise.resolve({ line: 1, record });
  }
  const outcomes: LineOutcome[] = [];
  for await (const outcome of app.nest.get(UserImport).importAll(lines(), ORIGIN)) outcomes.push(outcome);
  return outcomes[0];
}

async function idOf(app: TestApp, username: string): Promise<string> {
  const [row] = await app.rows<{ id: string }>('SELECT id FROM users WHERE username = ?', [username]);
  return row?.id ?? '';
}

const login = (app: TestApp, username: string, password: string) =>
  app.call('POST', '/auth/login', { body: { username, password } });

const storedHash = async (app: TestApp, id: string): Promise<string | undefined> => {
  const [row] = await app.rows<{ password_hash: string }>('SELECT password_hash FROM users WHERE id = ?', [
    id,
  ]);
  return row?.password_hash;
};

describe('a user of another system', () => {
  let app: TestApp;
  // Wrong passwords by the dozen, from one address.
  beforeAll(async () => (app = await startApp({ RATE_LIMITS: 'off' })));
  afterAll(() => app.close());

  it.each(FOREIGN)(
    'signs in with the password of there, which is then hashed as today: %s',
    async (_, hash) => {
      const { id, username } = await importUser(app, hash);

      const wrong = await login(app, username, `${PASSWORD}.`);
      expect(wrong.status).toBe(401);
      expect(await storedHash(app, id)).toBe(hash);
      const first = await login(app, username, PASSWORD);

      expect(first.status).toBe(200);
      expect(await storedHash(app, id)).toMatch(TODAYS);
      expect((await login(app, username, PASSWORD)).status).toBe(200);
      expect((await login(app, username, `${PASSWORD}.`)).status).toBe(401);
    },
  );

  it('has a bcrypt hash verified as bcrypt does, and kept while the password may be another behind its 72nd byte', async () => {
    const hash = '$2b$04$xcArEWSzxYR4ZRS6Sp/N7eUKC8dPxG01DvOtEXSirCDKdt.cgVpFa';
    const { id, username } = await importUser(app, hash);

    const other72 = await login(app, username, `${LONG_PASSWORD.slice(0, 71)}!and some more`);
    const others = [`${LONG_PASSWORD}and more`, LONG_PASSWORD.slice(0, 72)];
    for (const other of others) expect((await login(app, username, other)).status).toBe(200);

    expect(other72.status).toBe(401);
    expect(await storedHash(app, id)).toBe(hash);
    expect((await login(app, username, LONG_PASSWORD)).status).toBe(200);
  });

  it.each(FOREIGN)('has a NUL in the password count, wherever it stands: %s', async (_, hash) => {
    const { id, username } = await importUser(app, hash);

    for (const behind of [
      '\u0000and more',
      `\u0000${PASSWORD}`,
      `\u0000${PASSWORD}\u0000`,
      '\u0000',
      '\u0000\u0000',
    ]) {
      expect((await login(app, username, `${PASSWORD}${behind}`)).status).toBe(401);
    }

    expect(await storedHash(app, id)).toBe(hash);
    expect((await login(app, username, PASSWORD)).status).toBe(200);
  });

  it('is written down as made by whom', async () => {
    const { id } = await importUser(app, FOREIGN[0]?.[1] as string);

    const events = await app.rows('SELECT type, reason, ip, request_id FROM audit_events WHERE user_id = ?', [
      id,
    ]);

    expect(events).toEqual([
      { type: 'account_created', reason: 'imported', ip: 'command line', request_id: 'req_import' },
    ]);
  });

  it.each([
    ['a digest that is no password hash', '5f4dcc3b5aa765d61d8327deb882cf99', 'of an unknown form'],
    [
      'gigabytes of memory',
      `$argon2id$v=19$m=4194304,t=1,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`,
      'out of bounds',
    ],
    ['a cost of bcrypt that takes hours', `$2b$31$${'C'.repeat(21)}.${'C'.repeat(31)}`, 'out of bounds'],
    ['more than the column holds', `pbkdf2_sha256$1000$${'s'.repeat(237)}$${'A'.repeat(43)}=`, 'too long'],
  ])('is not imported with %s', async (_, hash, reason) => {
    const before = await app.rows('SELECT id FROM users');

    const record = { username: 'not-imported', email: 'not-imported@example.com', passwordHash: hash };
    expect(await importLine(app, record)).toEqual({
      ...{ line: 1, kind: 'refused', field: 'passwordHash' },
      reason: expect.stringContaining(reason) as string,
    });

    expect(await app.rows('SELECT id FROM users')).toEqual(before);
  });

  it('does not take the name of somebody who is there', async () => {
    const { username } = await signUp(app);
    const imported = {
      username,
      email: 'somebody.else@example.com',
      passwordHash: FOREIGN[0]?.[1] as string,
    };

    expect(await importLine(app, imported)).toMatchObject({ kind: 'refused', field: 'username' });
  });
});

describe('a stored hash that asks for too much', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const bytes = (length: number) => Buffer.alloc(length, 7).toString('base64').replaceAll('=', '');

  it.each([
    ['memory', `$argon2id$v=19$m=4194303,t=1,p=1$${bytes(16)}$${bytes(32)}`],
    ['passes', `$argon2id$v=19$m=65536,t=999,p=1$${bytes(16)}$${bytes(32)}`],
    ['lanes', `$argon2id$v=19$m=65536,t=1,p=255$${bytes(16)}$${bytes(32)}`],
    ['bcrypt cost', `$2b$31$${'C'.repeat(21)}.${'C'.repeat(31)}`],
    ['scrypt memory', `$scrypt$ln=31,r=8,p=1$${bytes(16)}$${bytes(32)}`],
    ['iterations', `pbkdf2_sha256$99999999$${'s'.repeat(12)}$${bytes(32)}=`],
    ['nothing at all', ''],
    ['something unknown', 'plain:five copper lamps'],
  ])('is never computed, matches nothing and is an error in the log: %s', async (_, hash) => {
    const person = await signUp(app);
    await app.inDatabase((tx) => tx.update('User', { id: person.id }, { passwordHash: hash }));
    app.logged.length = 0;

    const { status, body } = await login(app, person.username, person.password);

    expect([status, body]).toEqual([401, { error: 'Invalid credentials' }]);
    const errors = app.logged.filter(({ level }) => level === 'error');
    expect(errors).toEqual([
      expect.objectContaining({ userId: person.id, msg: 'A stored password hash is refused' }),
    ]);
    expect(await storedHash(app, person.id)).toBe(hash);
  });

  it('is not what a hash of ours is: nothing is logged at an ordinary login', async () => {
    const person = await signUp(app);
    app.logged.length = 0;

    await logIn(app, person);

    expect(app.logged.filter(({ level }) => level === 'error')).toEqual([]);
  });
});
