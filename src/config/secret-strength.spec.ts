import { randomBytes } from 'node:crypto';
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
  ])('is no placeholder and not out of a manual: %s', (secret) => {
    expect(weaknessOf(secret)).toMatch(/^must not be a placeholder or a published secret/);
  });

  it.each(['base64', 'base64url', 'hex'] as const)('is good when it is random: %s', (encoding) => {
    const weaknesses = Array.from({ length: 20_000 }, () =>
      weaknessOf(randomBytes(encoding === 'hex' ? 32 : 48).toString(encoding)),
    );

    expect(weaknesses.filter((weakness) => weakness !== undefined)).toEqual([]);
  });

  it.each([
    'nine brass kettles, humming over a cold lagoon',
    'a-master-secret-for-tests-of-more-than-32-bytes',
  ])('may be a sentence, if it is long: %s', (secret) => {
    expect(weaknessOf(secret)).toBeUndefined();
  });

  it('is judged quickly, however long', () => {
    const begun = performance.now();

    weaknessOf(`${'ab'.repeat(30_000)}c`);

    expect(performance.now() - begun).toBeLessThan(2000);
  });
});
