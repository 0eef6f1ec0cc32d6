import { setImmediate as turnOfOthers } from 'node:timers/promises';
import { ApiKeyVerifier } from '../src/api-keys/api-key-verifier';
import { type KeyLookups, MOST_AT_ONCE, MOST_WAITING } from '../src/api-keys/key-lookups';
import { ApiError } from '../src/core/errors';
import { SystemRandom } from '../src/core/random';
import { withBudget } from '../src/core/request-budget';
import { ApiKeyFormat } from '../src/crypto/api-key-format';
import { startApp, type TestApp } from './support/app';
import { gate } from './support/gate';
import { createKey, newcomer, statusWith } from './support/people';
import { quiet } from './support/quiet';
import { statementsDuring } from './support/statements';
import { TestFailpoints } from './support/test-failpoints';

/** Time enough on any machine: what is tested is who waits for what. */
const AMPLE_MS = 300_000;

const random = new SystemRandom();
const format = new ApiKeyFormat('live');

/** Keys that nobody has made, with checksums that are right. */
const madeUp = (count: number) => Array.from({ length: count }, () => format.generate(random));

describe('lookups of API keys', () => {
  const failpoints = new TestFailpoints();
  let app: TestApp;
  let verifier: ApiKeyVerifier;
  let token: string;
  beforeAll(async () => {
    app = await startApp({}, { failpoints });
    verifier = app.nest.get(ApiKeyVerifier);
    ({ token } = await newcomer(app));
    await quiet(app);
  });
  afterEach(() => failpoints.set(undefined));
  afterAll(() => app.close());

  const newKey = async () => (await createKey(app, token)).apiKey;
  const verify = (key: string) => withBudget(AMPLE_MS, () => verifier.verify(key));
  const outcome = (verification: Promise<unknown>) =>
    verification.then(
      (credential) => (credential === undefined ? 'none' : 'good'),
      (error: unknown) => (error instanceof ApiError ? error.code : String(error)),
    );
  /** Digests that each statement has asked for. */
  const asked = async (work: () => Promise<unknown>): Promise<number[]> =>
    (await statementsDuring(app, work))
      .filter(({ sql }) => /FROM api_key_secrets/.test(sql))
      .map(({ values }) => values.length);
  const lookups = () =>
    (verifier as unknown as { lookups: KeyLookups }).lookups as unknown as {
      waiting: Map<string, unknown>;
      callers: number;
    };

  it('that come at once, three thousand made-up ones and a good one, are thirty statements and one', async () => {
    const good = await newKey();
    let outcomes: string[] = [];

    const statements = await asked(async () => {
      const keys = [...madeUp(1_500), good, ...madeUp(1_500)];
      outcomes = await Promise.all(keys.map((key) => outcome(verify(key))));
    });

    expect(outcomes.filter((each) => each === 'none')).toHaveLength(3_000);
    expect(outcomes[1_500]).toBe('good');
    // The first does not wait for others to come.
    expect(statements).toEqual([1, ...Array<number>(30).fill(MOST_AT_ONCE)]);
  });

  it('are answered while made-up keys go on coming: the good one 200, the others 401', async () => {
    const good = await newKey();
    let flooding = true;
    const flood = async () => {
      while (flooding) {
        await Promise.all(madeUp(200).map(verify));
        // SQLite answers without letting anything else happen in between.
        await turnOfOthers();
      }
    };
    const floods = [flood(), flood()];

    const statuses = await Promise.all([
      statusWith(app, { key: good }),
      ...madeUp(50).map((key) => statusWith(app, { key })),
    ]);
    flooding = false;
    await Promise.all(floods);

    expect(statuses).toEqual([200, ...Array<number>(50).fill(401)]);
  });

  it('of one and the same key are two: the first, and one for all that came meanwhile', async () => {
    const key = await newKey();
    let outcomes: string[] = [];

    const statements = await asked(async () => {
      outcomes = await Promise.all(Array.from({ length: 50 }, () => outcome(verify(key))));
    });

    expect(new Set(outcomes)).toEqual(new Set(['good']));
    expect(statements).toEqual([1, 1]);
  });

  it('fail together when the database does, and the next ones do not', async () => {
    const good = await newKey();
    await app.inDatabase((tx) => tx.query('ALTER TABLE api_key_secrets RENAME TO hidden_secrets'));

    const outcomes = await Promise.all([...madeUp(250), good].map((key) => outcome(verify(key))));
    const status = await statusWith(app, { key: good });
    await app.inDatabase((tx) => tx.query('ALTER TABLE hidden_secrets RENAME TO api_key_secrets'));

    expect(new Set(outcomes)).toEqual(new Set(['service_unavailable']));
    expect(status).toBe(503);
    expect([lookups().callers, lookups().waiting.size]).toEqual([0, 0]);
    expect(await statusWith(app, { key: good })).toBe(200);
  });

  it('wait in bounded numbers: whoever comes beyond that is answered 503 at once', async () => {
    const held = failpoints.hold('key_lookup:row_read');
    const good = await newKey();
    const first = outcome(verify(good));
    await held.reached;
    const waiting = madeUp(MOST_WAITING - 1).map((key) => outcome(verify(key)));

    const oneTooMany = await outcome(verify(good));
    const status = await statusWith(app, { key: good });
    held.release();

    expect([oneTooMany, status]).toEqual(['service_unavailable', 503]);
    expect(await first).toBe('good');
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['none']));
    expect([lookups().callers, lookups().waiting.size]).toEqual([0, 0]);
    expect(await statusWith(app, { key: good })).toBe(200);
  }, 60_000);

  it('are not cut short for others by who has no time left: he is answered, and they are served', async () => {
    const held = failpoints.hold('key_lookup:row_read');
    const [good, another] = [await newKey(), await newKey()];
    const first = outcome(verify(await newKey()));
    await held.reached;
    const hurried = () => outcome(withBudget(1, () => verifier.verify(madeUp(1)[0] as string)));
    const early = hurried();
    const waiting = [good, another].map((key) => outcome(verify(key)));
    const late = hurried();
    // A timer may be early by a part of a millisecond: nothing of their time is to be left.
    app.clock.push(1);

    const answered = await Promise.all([early, late]);
    const { waiting: inLine } = (verifier as unknown as { lookups: { waiting: Map<string, unknown> } })
      .lookups;
    const left = inLine.size;
    held.release();

    expect(answered).toEqual(['service_unavailable', 'service_unavailable']);
    // Whose time is up stands in nobody's way any more.
    expect(left).toBe(2);
    expect(await Promise.all([first, ...waiting])).toEqual(['good', 'good', 'good']);
  });

  it('never learn from a statement that began before they came: what was changed meanwhile is known', async () => {
    const { keyId, apiKey } = await createKey(app, token);
    const read = gate();
    const goOn = gate();
    let held = false;
    failpoints.set((point) => {
      if (point !== 'key_lookup:row_read' || held) return undefined;
      held = true;
      read.open();
      return goOn.opened;
    });

    const before = outcome(verify(apiKey));
    await read.opened;
    await app.call('PATCH', `/auth/keys/${keyId}`, { token, body: { enabled: false } });
    const after = outcome(verify(apiKey));
    goOn.open();

    expect([await before, await after]).toEqual(['good', 'none']);
    expect(await statusWith(app, { key: apiKey })).toBe(401);
  });
});
