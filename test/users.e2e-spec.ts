import { startApp, type TestApp } from './support/app';
import { createKey, logIn, newcomer, signUp, statusWith } from './support/people';

interface Profile {
  id: string;
  username: string;
  email: string;
  createdAt: string;
}

interface Refusal {
  error: string;
  details: { field: string; rule: string }[];
}

describe('sign-up', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const register = (body: unknown) => app.call<Profile & Refusal>('POST', '/users', { body });

  it('makes an account that can sign in at once', async () => {
    const request = { username: 'Jane.Doe', email: 'Jane.Doe@Example.com', password: 'a password of hers' };

    const { status, body } = await register(request);

    expect(status).toBe(201);
    expect(body).toEqual({
      id: expect.stringMatching(/^user_[0-7][0-9a-hjkmnp-tv-z]{25}$/) as string,
      username: 'Jane.Doe',
      email: 'Jane.Doe@Example.com',
      createdAt: '2026-03-14T09:26:53Z',
    });
    const { user } = await logIn(app, request);
    expect(user).toEqual({ id: body.id, username: 'Jane.Doe', email: 'Jane.Doe@Example.com' });
  });

  it('stores the password as an Argon2id hash and in no other form', async () => {
    const { id, password } = await signUp(app);

    const [row] = await app.rows<{ password_hash: string }>('SELECT * FROM users WHERE id = ?', [id]);

    expect(row?.password_hash).toMatch(/^\$argon2id\$v=19\$m=8,t=1,p=1\$[\w+/]+\$[\w+/]+$/);
    expect(JSON.stringify(row)).not.toContain(password);
  });

  it.each([
    ['user name', 'username', { username: 'TAKEN.name' }, 'Username already taken', 'username_taken'],
    ['e-mail address', 'email', { email: 'TAKEN@example.COM' }, 'Email already in use', 'email_taken'],
  ])('refuses a %s that somebody has, in any case', async (_, field, wish, sentence, code) => {
    await signUp(app, { [field]: Object.values(wish)[0]?.toLowerCase() });
    const count = await app.rows('SELECT id FROM users');

    const { status, body, headers } = await register({
      username: 'somebody.else',
      email: 'somebody.else@example.com',
      password: 'a password of his',
      ...wish,
    });

    expect([status, body]).toEqual([409, { error: sentence }]);
    expect(headers.get('x-error-code')).toBe(code);
    expect(await app.rows('SELECT id FROM users')).toEqual(count);
  });

  it('gives a name that many want at once to one of them', async () => {
    const attempts = Array.from({ length: 10 }, (_, index) =>
      register({
        username: 'wanted',
        email: `wanted-${index}@example.com`,
        password: 'a password of theirs',
      }),
    );

    const statuses = (await Promise.all(attempts)).map(({ status }) => status);

    expect(statuses.sort()).toEqual([201, ...(Array(9).fill(409) as number[])]);
  });

  it('gives an address that many want at once to one of them, and says what is taken', async () => {
    const attempts = Array.from({ length: 10 }, (_, index) =>
      register({ username: `wanting-${index}`, email: 'one@example.com', password: 'a password of theirs' }),
    );

    const refused = (await Promise.all(attempts)).filter(({ status }) => status !== 201);

    expect(refused.map(({ body }) => body.error)).toEqual(Array(9).fill('Email already in use'));
  });

  it.each([
    ['a name of two characters', { username: 'ab' }, 'username', 'minCharacters'],
    ['a name of 65 characters', { username: 'a'.repeat(65) }, 'username', 'maxCharacters'],
    ['a name with a blank', { username: 'jane doe' }, 'username', 'matches'],
    ['a name with an accent', { username: 'jané' }, 'username', 'matches'],
    ['a name with a line break', { username: 'jane\n' }, 'username', 'matches'],
    ['no e-mail address', { email: undefined }, 'email', 'isString'],
    ['an e-mail address without @', { email: 'jane.example.com' }, 'email', 'isEmail'],
    [
      'an e-mail address of 255 characters',
      { email: `${'a'.repeat(243)}@example.com` },
      'email',
      'maxCharacters',
    ],
    [
      'an e-mail address that turns text around',
      { email: '\u202emoc.elpmaxe@example.com' },
      'email',
      'isVisible',
    ],
    ['a password of seven characters', { password: 'sevenss' }, 'password', 'minCharacters'],
    ['a password of seven emoji', { password: '🔑'.repeat(7) }, 'password', 'minCharacters'],
    ['a password of 257 characters', { password: 'x'.repeat(257) }, 'password', 'maxCharacters'],
    ['a password with a lone surrogate', { password: 'lone \ud800 surrogate' }, 'password', 'isWellFormed'],
    ['a field of ours', { id: 'user_00000000000000000000000000' }, 'id', 'unknownField'],
    ['a privilege', { scopes: '*' }, 'scopes', 'unknownField'],
  ])('refuses %s with 400', async (_, wish, field, rule) => {
    const before = await app.rows('SELECT id FROM users');

    const { status, body } = await register({
      username: 'acceptable',
      email: 'acceptable@example.com',
      password: 'an acceptable one',
      ...wish,
    });

    expect(status).toBe(400);
    expect(body.details).toEqual(
      expect.arrayContaining([expect.objectContaining({ field, rule })]) as Refusal['details'],
    );
    expect(await app.rows('SELECT id FROM users')).toEqual(before);
  });

  it.each([
    ['eight characters', 'kv7 wq#p'],
    ['eight emoji', '🔑🍋🚲🌵🎻🧭🪁🐙'],
    ['256 emoji', `${'🔑'.repeat(240)}🔑🍋🚲🌵🎻🧭🪁🐙🔑🍋🚲🌵🎻🧭🪁🐙`],
    ['blanks around', '  blanks around  '],
    ['digits only', '825193047162538'],
  ])('accepts a password of %s', async (_, password) => {
    const person = await signUp(app, { password });

    expect((await logIn(app, person)).user.id).toBe(person.id);
  });

  it('counts a longer least length where one is configured', async () => {
    await app.restart({ PASSWORD_MIN_LENGTH: '15' });
    const request = { username: 'long.password', email: 'long.password@example.com' };

    const short = await register({ ...request, password: 'fourteen marks' });
    const enough = await register({ ...request, password: 'fifteen or more' });
    await app.restart();

    expect([short.status, short.body.details[0]?.field]).toEqual([400, 'password']);
    expect(enough.status).toBe(201);
  });

  it('is refused where registration is closed', async () => {
    await app.restart({ REGISTRATION: 'closed' });

    const { status, body, headers } = await register({
      username: 'too.late',
      email: 'too.late@example.com',
      password: 'a password of hers',
    });
    await app.restart();

    expect([status, body]).toEqual([403, { error: 'Registration is closed' }]);
    expect(headers.get('x-error-code')).toBe('registration_closed');
  });
});

describe('the own profile', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const change = (token: string, body: unknown) =>
    app.call<Profile & Refusal>('PATCH', '/users/me', { token, body });

  it('is shown to its owner', async () => {
    const { token, id, username, email } = await newcomer(app);

    const { status, body } = await app.call('GET', '/users/me', { token });

    expect([status, body]).toEqual([200, { id, username, email, createdAt: '2026-03-14T09:26:53Z' }]);
  });

  it('is shown to a key of its owner that holds users:read', async () => {
    const { token, id } = await newcomer(app);
    const { apiKey } = await createKey(app, token);

    const { status, body } = await app.call('GET', '/users/me', { key: apiKey });

    expect([status, body.id]).toEqual([200, id]);
  });

  it('is not shown to a key without that scope', async () => {
    const { token } = await newcomer(app);
    const { apiKey } = await createKey(app, token, { scopes: ['invoices:write'] });

    const { status, headers } = await app.call('GET', '/users/me', { key: apiKey });

    expect(status).toBe(403);
    expect(headers.get('x-error-code')).toBe('scope_missing');
  });

  it('changes its name: the new one signs in, the old one is free', async () => {
    const person = await newcomer(app);

    const { status, body } = await change(person.token, { username: 'Another.Name' });

    expect(status).toBe(200);
    expect(body).toMatchObject({ id: person.id, username: 'Another.Name', email: person.email });
    await logIn(app, { ...person, username: 'another.name' });
    await signUp(app, { username: person.username });
  });

  it('changes its e-mail address and nothing else', async () => {
    const person = await newcomer(app);

    const { body } = await change(person.token, { email: 'New.Address@example.com' });

    expect(body).toMatchObject({ username: person.username, email: 'New.Address@example.com' });
    const [row] = await app.rows('SELECT * FROM users WHERE id = ?', [person.id]);
    expect(row).toMatchObject({ email_canonical: 'new.address@example.com' });
  });

  it('may change the case of its own name', async () => {
    const person = await newcomer(app);

    const { status, body } = await change(person.token, { username: person.username.toUpperCase() });

    expect([status, body.username]).toEqual([200, person.username.toUpperCase()]);
  });

  it('stays as it was when one of two changes is taken', async () => {
    const [person, other] = [await newcomer(app), await newcomer(app)];

    const { status, body } = await change(person.token, { username: 'half.done', email: other.email });

    expect([status, body]).toEqual([409, { error: 'Email already in use' }]);
    const [row] = await app.rows('SELECT username FROM users WHERE id = ?', [person.id]);
    expect(row).toEqual({ username: person.username });
  });

  it.each([
    ['null for a name', { username: null }, 'username'],
    ['null for an address', { email: null }, 'email'],
    ['a bad name', { username: 'a b' }, 'username'],
    ['a password', { password: 'x' }, 'password'],
    ['somebody else', { id: 'user_00000000000000000000000000' }, 'id'],
  ])('refuses %s', async (_, body, field) => {
    const { token } = await newcomer(app);

    const answer = await change(token, body);

    expect(answer.status).toBe(400);
    expect(answer.body.details.map((fault) => fault.field)).toContain(field);
  });

  it('is out of reach for somebody whose account has been deleted', async () => {
    const { token, id } = await newcomer(app);
    await app.inDatabase((tx) => tx.query('DELETE FROM users WHERE id = ?', [id]));

    expect(await statusWith(app, { token })).toBe(401);
  });
});
