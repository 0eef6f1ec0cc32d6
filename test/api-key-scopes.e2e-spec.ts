import fc from 'fast-check';
import { startApp, type TestApp } from './support/app';
import { createKey, type CreatedKeyBody, logIn, newcomer, operator, type Person } from './support/people';
import { PROPERTY_SEED } from './support/thoroughness';

const SCOPES = ['users:read', 'a:b', 'c:d', 'e:f', 'introspect'] as const;

/** What owners and operators do, in any order. `key` picks one of those there are. */
type Step =
  | { do: 'create' | 'widen'; scopes: string[]; key: number }
  | { do: 'rotate'; overlap: number; key: number }
  | { do: 'stop' | 'start' | 'delete'; key: number }
  | { do: 'report'; key: number }
  | { do: 'bound'; scopes: string[] }
  | { do: 'unbound' | 'disable' | 'enable' };

const someScopes = fc.subarray([...SCOPES], { minLength: 1 });
const key = fc.nat({ max: 3 });

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constantFrom('create' as const, 'widen' as const), scopes: someScopes, key }),
  fc.record({ do: fc.constant('rotate' as const), overlap: fc.constantFrom(0, 3600), key }),
  fc.record({ do: fc.constantFrom('stop' as const, 'start' as const, 'delete' as const), key }),
  fc.record({ do: fc.constant('report' as const), key }),
  fc.record({ do: fc.constant('bound' as const), scopes: someScopes }),
  fc.record({ do: fc.constantFrom('unbound' as const, 'disable' as const, 'enable' as const) }),
);

/** A key as it should be. */
interface Expected {
  keyId: string;
  given: string[];
  stopped: boolean;
  reported: boolean;
  current: string;
  old: string | undefined;
}

/** The account as it should be, driven along with the real one. */
class Account {
  scopes: string[] | 'all' = 'all';
  disabled = false;
  keys: Expected[] = [];
  /** Secrets that must never work again. */
  dead: string[] = [];
  private token: string;

  constructor(
    private readonly app: TestApp,
    readonly person: Person & { token: string },
  ) {
    this.token = person.token;
  }

  holds(scope: string): boolean {
    return this.scopes === 'all' || this.scopes.includes(scope);
  }

  async take(step: Step): Promise<void> {
    const { person } = this;
    switch (step.do) {
      case 'bound':
      case 'unbound':
        this.scopes = step.do === 'bound' ? step.scopes : 'all';
        await operator(this.app).setScopes(person.id, ...(this.scopes === 'all' ? ['*'] : this.scopes));
        return this.signInAgain();
      case 'disable':
        this.disabled = true;
        await operator(this.app).disable(person.id);
        return;
      case 'enable':
        this.disabled = false;
        await operator(this.app).enable(person.id);
        return this.signInAgain();
      case 'report':
        return this.report(this.pick(step.key));
      default:
        // A disabled owner can do nothing; what he would have done is skipped on both sides.
        return this.disabled ? undefined : this.act(step);
    }
  }

  private async act(
    step: Exclude<Step, { do: 'bound' | 'unbound' | 'disable' | 'enable' | 'report' }>,
  ): Promise<void> {
    if (step.do === 'create') return this.create(step.scopes);
    const key = this.pick(step.key);
    if (!key) return;
    const call = <Body>(method: string, path: string, body?: object) =>
      this.app.call<Body>(method, `/auth/keys/${key.keyId}${path}`, { token: this.token, body });
    switch (step.do) {
      case 'widen': {
        const { status } = await call('PATCH', '', { scopes: step.scopes });
        expect(status).toBe(step.scopes.every((scope) => this.holds(scope)) ? 200 : 403);
        if (status === 200) key.given = step.scopes;
        return;
      }
      case 'rotate': {
        const { body } = await call<CreatedKeyBody>('POST', '/rotate', { overlapSeconds: step.overlap });
        const overlaps = step.overlap > 0 && !key.reported;
        this.dead.push(
          ...[key.old, overlaps ? undefined : key.current].filter((secret) => secret !== undefined),
        );
        Object.assign(key, {
          old: overlaps ? key.current : undefined,
          current: body.apiKey,
          reported: false,
        });
        return;
      }
      case 'stop':
      case 'start': {
        const { status } = await call('PATCH', '', { enabled: step.do === 'start' });
        expect(status).toBe(step.do === 'start' && key.reported ? 409 : 200);
        if (status === 200) key.stopped = step.do === 'stop';
        return;
      }
      case 'delete':
        await call('DELETE', '');
        this.dead.push(...[key.current, key.old].filter((secret) => secret !== undefined));
        this.keys = this.keys.filter((other) => other !== key);
    }
  }

  private async create(scopes: string[]): Promise<void> {
    const { status, body } = await this.app.call<CreatedKeyBody>('POST', '/auth/keys', {
      token: this.token,
      body: { scopes },
    });
    expect(status).toBe(scopes.every((scope) => this.holds(scope)) ? 201 : 403);
    if (status !== 201) return;
    const { keyId, apiKey: current } = body;
    this.keys.push({ keyId, given: scopes, stopped: false, reported: false, current, old: undefined });
  }

  private async report(key: Expected | undefined): Promise<void> {
    if (!key) return;
    const found = key.old ?? key.current;
    await this.app.call('POST', '/auth/keys/report', { body: { apiKey: found } });
    if (key.old === undefined) key.reported = true;
    else {
      this.dead.push(key.old);
      key.old = undefined;
    }
  }

  private pick(index: number): Expected | undefined {
    return this.keys[index % Math.max(1, this.keys.length)];
  }

  private async signInAgain(): Promise<void> {
    if (!this.disabled) this.token = (await logIn(this.app, this.person)).token;
  }
}

describe('what a key may do', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  /** What the door makes of a secret: the scopes it grants, or that it lets nobody in. */
  const grantedTo = async (secret: string): Promise<string[] | 'nothing'> => {
    const { status, headers } = await app.call('GET', '/auth/verify', { key: secret });
    if (status === 401) return 'nothing';
    return (headers.get('x-auth-scopes') ?? '').split(' ').filter((scope) => scope !== '');
  };

  it('never exceeds what its owner may, whatever owner and operator do, in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), async (steps) => {
        const account = new Account(app, await newcomer(app));
        await account.take({ do: 'create', scopes: ['users:read', 'a:b'], key: 0 });

        for (const one of steps) {
          await account.take(one);

          for (const { given, stopped, reported, current, old } of account.keys) {
            const works = !account.disabled && !stopped && !reported;
            const expected = works ? given.filter((scope) => account.holds(scope)) : 'nothing';
            for (const secret of [current, old]) {
              if (secret !== undefined) expect(await grantedTo(secret)).toEqual(expected);
            }
          }
        }

        for (const secret of account.dead) expect(await grantedTo(secret)).toBe('nothing');
      }),
      { numRuns: 25, seed: PROPERTY_SEED },
    );
  }, 120_000);

  it('ends with the account: whatever its keys were, none works once it is deleted', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
        const account = new Account(app, await newcomer(app));
        await account.take({ do: 'create', scopes: ['a:b'], key: 0 });
        for (const one of steps) await account.take(one);
        await account.take({ do: 'enable' });
        const { token } = await logIn(app, account.person);
        const { password } = account.person;

        const { status } = await app.call('DELETE', '/users/me', { token, body: { password } });

        expect(status).toBe(204);
        const secrets = [
          ...account.keys.flatMap(({ current, old }) => [current, old ?? current]),
          ...account.dead,
        ];
        for (const secret of secrets) expect(await grantedTo(secret)).toBe('nothing');
      }),
      { numRuns: 10, seed: PROPERTY_SEED },
    );
  }, 120_000);

  it('is never everything, and never to make keys, to sign in or to change the account', async () => {
    const { token } = await newcomer(app);
    const { apiKey } = await createKey(app, token, { scopes: [...SCOPES] });

    expect(await grantedTo(apiKey)).toEqual([...SCOPES]);
    for (const path of ['/auth/keys', '/auth/keys/key_00000000000000000000000000/rotate', '/auth/logout']) {
      expect((await app.call('POST', path, { key: apiKey, body: {} })).status).toBe(403);
    }
  });
});
