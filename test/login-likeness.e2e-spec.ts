import { PasswordHasher } from '../src/crypto/password-hasher';
import { startApp, type TestApp } from './support/app';
import { separation } from './support/likeness';
import { signUp } from './support/people';

const SAMPLES = 2_000;

/** Kinds of a login that fails, in the six orders in which three can come. */
const ORDERS = [
  ['unknown', 'wrong', 'disabled'],
  ['wrong', 'disabled', 'unknown'],
  ['disabled', 'unknown', 'wrong'],
  ['disabled', 'wrong', 'unknown'],
  ['wrong', 'unknown', 'disabled'],
  ['unknown', 'disabled', 'wrong'],
] as const;
type Kind = (typeof ORDERS)[number][number];

describe('with LOGIN_ERRORS=uniform an unknown user, a wrong password and a disabled user', () => {
  let app: TestApp;
  let names: Record<Kind, string>;
  beforeAll(async () => {
    // A hash of some milliseconds: to leave it out would halve the time of a login.
    app = await startApp(
      { LOGIN_ERRORS: 'uniform', RATE_LIMITS: 'off', LOG_LEVEL: 'warn' },
      { hashCost: { memoryKib: 4_096, passes: 1, lanes: 1 } },
    );
    const wrong = await signUp(app, { username: 'likeness-a' });
    const disabled = await signUp(app, { username: 'likeness-b' });
    await app.inDatabase((tx) => tx.update('User', { id: disabled.id }, { disabledAt: app.clock.now() }));
    names = { unknown: 'likeness-c', wrong: wrong.username, disabled: disabled.username };
  });
  afterAll(() => app.close());

  const attempt = async (kind: Kind): Promise<{ milliseconds: number; visible: string }> => {
    const body = JSON.stringify({ username: names[kind], password: 'not the password' });
    const begun = performance.now();
    const response = await app.fetch('/api/v1/auth/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const text = await response.text();
    const milliseconds = performance.now() - begun;
    const headers = [...response.headers].filter(([name]) => name !== 'x-request-id' && name !== 'date');
    return { milliseconds, visible: JSON.stringify([response.status, headers, text]) };
  };

  const measure = async (rounds: number) => {
    const times: Record<Kind, number[]> = { unknown: [], wrong: [], disabled: [] };
    const answers = new Set<string>();
    for (let round = 0; round < rounds; round += 1) {
      for (const kind of ORDERS[round % ORDERS.length] ?? []) {
        const { milliseconds, visible } = await attempt(kind);
        times[kind].push(milliseconds);
        answers.add(visible);
      }
    }
    return { times, answers };
  };

  it('look alike and take equally long: 2,000 of each cannot be told apart', async () => {
    await measure(100);

    const { times, answers } = await measure(SAMPLES);

    expect([...answers]).toHaveLength(1);
    expect([...answers][0]).toContain('Invalid credentials');
    expect(times.unknown).toHaveLength(SAMPLES);
    const found = {
      'unknown, wrong': separation(times.unknown, times.wrong),
      'unknown, disabled': separation(times.unknown, times.disabled),
      'wrong, disabled': separation(times.wrong, times.disabled),
    };
    // Measured: 0.05, which is a row that is read or not. Without the decoy: 0.9, and 0.3 on a
    // machine that has ten times as much to do as it can; see below.
    expect(Object.entries(found).filter(([, value]) => value > 0.15)).toEqual([]);
  }, 300_000);

  it('would be told apart by this test if the work for an unknown user were left out', async () => {
    const hasher = app.nest.get(PasswordHasher);
    const verify = hasher.verify.bind(hasher);
    hasher.verify = (hash, password, lane) =>
      hash === undefined ? Promise.resolve(false) : verify(hash, password, lane);

    const { times } = await measure(400);
    hasher.verify = verify;
    expect(separation(times.unknown, times.wrong)).toBeGreaterThan(0.25);
    expect(separation(times.wrong, times.disabled)).toBeLessThan(0.2);
  }, 120_000);
});
