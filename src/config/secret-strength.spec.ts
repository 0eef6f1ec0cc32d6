import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { weaknessOf } from './secret-strength';

describe('a secret', () => {
  it.each([
    'x'.repeat(31),
    'é'.repeat(15),
    Array.from({ length: 31 }, (_, index) => String.fromCodePoint(33 + ((index * 41) % 90))).join(''),
  ])('has 32 bytes or more: %s', (secret) => {
    expect(weaknessOf(secret)).toMatch(/^must be at least 32 bytes/);
  });

  it.each([
    'x'.repeat(32),
    'x'.repeat(1000),
    'ab'.repeat(40),
    '0123456789abcdef0123456789abcdef',
    'abcdefghijklmnopqrstuvwxyz0123456789',
    'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
    '12345678901234567890123456789012',
    '9876543210987654321098765432109876543210',
    'aaaaaaaabbbbbbbbccccccccddddddddeeeeeeee',
    'secretsecretsecretsecretsecretsecretsecret',
    'latchkeylatchkeylatchkeylatchkeylatchkey',
    '00000000-0000-0000-0000-000000000000',
    '================================',
    `${'a'.repeat(40)}9f`,
    '5f0c9f0e-6a6c-4d35-9a53-2f9b3b1c9a77',
  ])('is no repetition, no sequence and not made of a few characters: %s', (secret) => {
    expect(weaknessOf(secret)).toMatch(/^must not be so easy to guess/);
  });

  it.each([
    'a-string-secret-at-least-256-bits-long',
    'your-256-bit-secret-goes-right-in-here',
    'change-me-to-something-long-and-random-please',
    'changeme-7d1f0a9b3c5e2468aceb13579fdb',
    'CHANGE_THIS_TO_A_LONG_RANDOM_STRING_OF_CHARACTERS',
    'replace-with-output-of-openssl-rand-base64-48',
    'my_super_secret_key_that_nobody_will_guess_42',
    'JWT_SECRET_EXAMPLE_VALUE_DO_NOT_USE_IN_LIVE',
    'ThisIsMySecretKeyForJwtTokensWithEnoughBytes',
    'the-default-signing-key-of-this-application',
    'correct-horse-battery-staple-password-2026',
    'insecure-development-only-key-8f14e45fceea167a',
    '404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970',
    'daf66e01593f61a15b857cf433aae03a005812b31234e149036bcc8dee755dbb',
    'a-master-secret-for-tests-of-more-than-32-bytes',
    'Wd8kq2vR0fTz6nXy4LmPb7sHc1JgUe5A',
    'sk_live_4fGh7Jk2Lm9Np3Qr5St8Uv1Wx6Yz0AbC2wUnVx',
    'rt_AQGaDbNkGYB7kLJ2M3mQ1xoAAAABf3K9c2VtYnJhbmNl',
    'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwOi8vbG9jYWxob3N0OjMwMDAifQ',
  ])('is no placeholder and not out of a manual: %s', (secret) => {
    expect(weaknessOf(secret)).toMatch(/^must not be a placeholder or a published secret/);
  });

  it.each(['base64', 'base64url', 'hex'] as const)('is good when it is random: %s', (encoding) => {
    // As good as random, and the same each time: of some millions that are random one looks as if it were not.
    const bytesOf = (index: number) => createHash('sha512').update(`${index}`).digest();
    const weaknesses = Array.from({ length: 20_000 }, (_, index) =>
      weaknessOf(
        bytesOf(index)
          .subarray(0, encoding === 'hex' ? 32 : 48)
          .toString(encoding),
      ),
    );

    expect(weaknesses.filter((weakness) => weakness !== undefined)).toEqual([]);
  });

  it.each([' ', '-', ', '])('may be a sentence, if it is long; with "%s" between its words', (between) => {
    const words = ['nine', 'brass', 'kettle', 'humming', 'over', 'cold', 'lagoon', 'with', 'velvet', 'dusk'];
    const sentence = words
      .map((word, index) => `${word}${(index * 7 + 3) % 10}`)
      .toReversed()
      .join(between);

    expect(weaknessOf(sentence)).toBeUndefined();
  });

  it('is judged quickly, however long', () => {
    const begun = performance.now();

    weaknessOf(`${'ab'.repeat(30_000)}c`);

    expect(performance.now() - begun).toBeLessThan(2000);
  });
});

describe('this repository', () => {
  const root = join(__dirname, '..', '..');
  const DOCUMENTS = [
    'README.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'Dockerfile',
    'docker-compose.yml',
    'openapi.json',
    'docs',
  ];
  const CODE = ['src', 'test', 'bench', 'scripts'];
  const TEXT = new Set(['', '.md', '.yml', '.yaml', '.json', '.ts', '.js', '.mjs', '.cjs', '.sh', '.conf']);

  /** Every text file of these files and folders, by its name. */
  const textsOf = (names: string[]): [name: string, text: string][] =>
    names
      .flatMap((name) =>
        statSync(join(root, name)).isDirectory()
          ? readdirSync(join(root, name), { recursive: true, encoding: 'utf8' }).map((inner) =>
              join(name, inner),
            )
          : [name],
      )
      .filter((name) => TEXT.has(extname(name)) && statSync(join(root, name)).isFile())
      .map((name) => [name, readFileSync(join(root, name), 'utf8')]);

  /** Words and numbers, as names of files, settings and figures are. Nobody takes these for a sample of a secret. */
  const ofWords = (text: string) =>
    text.split(/[-_./=+]/).every((part) => /^(\d*|[A-Z]*|[A-Z]?[a-z]+)([A-Z][a-z]+)*$/.test(part));

  /** Which of the texts that match would be taken for a secret; the first group of the expression is the text. */
  const accepted = (files: [string, string][], expression: RegExp) => {
    const found = files.flatMap(([name, text]) =>
      [...text.matchAll(expression)].map((match) => ({ name, text: match.at(-1) as string })),
    );
    return {
      found: found.length,
      usable: found
        .filter(({ text }) => weaknessOf(text) === undefined)
        .map(({ name, text }) => `${name}: ${text}`),
    };
  };

  it('shows nothing in its documents that the service would take for a secret', () => {
    // What stands behind a dollar is part of a password's hash, and looks like it.
    const { found, usable } = accepted(textsOf(DOCUMENTS), /(?<![$\w+/=.-])([\w+/=.-]{32,})/g);

    expect(found).toBeGreaterThan(100);
    expect(usable.filter((text) => !ofWords(text.slice(text.indexOf(': ') + 2)))).toEqual([]);
  });

  it('has nothing in its code and tests that the service would take for a secret', () => {
    const { found, usable } = accepted(textsOf(CODE), /(['"`])(?!\/[a-z]+\/)([\w+/=.-]{32,})\1/g);

    expect(found).toBeGreaterThan(100);
    expect(usable.filter((text) => !ofWords(text.slice(text.indexOf(': ') + 2)))).toEqual([]);
  });

  it('gives no setting and no constant for a secret a value that the service would take, be it of words', () => {
    const { found, usable } = accepted(
      textsOf([...DOCUMENTS, ...CODE]),
      /SECRET\w*['"]?\s*[:=]\s*(['"`]?)([^\s'"`$(){}|<>,]{32,})\1/gi,
    );

    expect(found).toBeGreaterThan(1);
    expect(usable).toEqual([]);
  });
});
