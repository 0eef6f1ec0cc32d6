import * as fc from 'fast-check';
import { AccountService } from '../src/auth/account.service';
import type { RevocationEntry } from '../src/revocation/revocation-entry.entity';
import { type Answer, startApp, type TestApp } from './support/app';
import { CALLER_HEADER, type Call, inTheNameOf, interleave } from './support/interleaving';
import {
  type LoginBody,
  logIn,
  type Person,
  sessionIdOf,
  signUp,
  statusWith,
  type TokensBody,
} from './support/people';
import { explore, PROOF_TIMEOUT_MS, rounds } from './support/rounds';
import { TestFailpoints } from './support/test-failpoints';

const NEW_PASSWORD = 'the password that is new';

/** Seconds that pass at each turn; all turns together stay within the grace. */
const SECONDS_PER_TURN = 0.2;

/** Which of the two sessions that the account has from the beginning. */
type Which = 0 | 1;

type Deed =
  | { does: 'log in' }
  | { does: 'refresh'; session: Which }
  | { does: 'log out'; session: Which }
  | { does: 'change the password'; session: Which }
  | { does: 'disable the account' };

interface Schedule {
  deeds: Deed[];
  choices: number[];
}

const which = fc.constantFrom<Which>(0, 1);
const deed = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Deed>({ does: 'log in' }) },
  { weight: 3, arbitrary: which.map((session): Deed => ({ does: 'refresh', session })) },
  { weight: 2, arbitrary: which.map((session): Deed => ({ does: 'log out', session })) },
  { weight: 3, arbitrary: which.map((session): Deed => ({ does: 'change the password', session })) },
  { weight: 1, arbitrary: fc.constant<Deed>({ does: 'disable the account' }) },
);
const schedules = fc.record<Schedule>({
  deeds: fc.array(deed, { minLength: 2, maxLength: 5, size: 'max' }),
  // As many as there can be turns.
  choices: fc.array(fc.nat(4), { minLength: 30, maxLength: 30 }),
});

/** Everything that was ever handed out for one session. */
interface Grants {
  access: string[];
  refresh: string[];
}

/** For each status of a refusal, what must have happened by the time that everything has come to rest. */
type Reasons = Record<number, () => boolean>;

/** When an access token expires. */
function expiryOf(token: string): Date {
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    exp: number;
  };
  return new Date(claims.exp * 1000);
}

/** An account of two sessions, what was handed out for it, and which sessions must be dead by the answers given. */
class Witness {
  private readonly grants = new Map<string, Grants>();
  private readonly ended = new Set<string>();
  private readonly refusals: { status: number; reason: () => boolean }[] = [];
  /** Once set, no session may live but this one, whenever it was born. */
  private spared: string | undefined;
  private changed = false;
  private disabled = false;

  private constructor(
    private readonly app: TestApp,
    private readonly person: Person,
    private readonly first: LoginBody[],
  ) {
    for (const login of first) this.note(login);
  }

  static async of(app: TestApp): Promise<Witness> {
    const person = await signUp(app);
    return new Witness(app, person, [await logIn(app, person), await logIn(app, person)]);
  }

  /** What a deed does, and what its answer means for the sessions there are. */
  callFor(deed: Deed): Call {
    return async (caller) => {
      const headers = { [CALLER_HEADER]: caller };
      switch (deed.does) {
        case 'log in': {
          const { username, password } = this.person;
          const body = { username, password };
          const answer = await this.app.call('POST', '/auth/login', { body, headers });
          return this.noteGrant(answer, { 401: () => this.changed, 403: () => this.disabled });
        }
        case 'refresh': {
          const { token, refreshToken } = this.own(deed.session);
          const answer = await this.app.call('POST', '/auth/refresh', { body: { refreshToken }, headers });
          return this.noteGrant(answer, { 401: () => this.mustBeDead(sessionIdOf({ token })) });
        }
        case 'log out': {
          const { token } = this.own(deed.session);
          const { status } = await this.app.call('POST', '/auth/logout', { token, headers });
          const sid = sessionIdOf({ token });
          if (status === 200) this.ended.add(sid);
          else this.refuse(status, { 401: () => this.mustBeDead(sid) });
          break;
        }
        case 'change the password':
          await this.changePassword(this.own(deed.session).token, headers);
          break;
        case 'disable the account': {
          const origin = { ip: 'test', userAgent: null, requestId: 'test' };
          const account = this.app.nest.get(AccountService);
          await inTheNameOf(caller, () => account.disable(this.person.id, origin));
          this.disabled = true;
        }
      }
      // From the very answer on, not only when everything has come to rest.
      expect(await this.survivors()).toEqual([]);
    };
  }

  /** Tokens that open something though their session must be dead. */
  async survivors(): Promise<string[]> {
    const survivors: string[] = [];
    for (const [sessionId, { access, refresh }] of this.grants) {
      if (!this.mustBeDead(sessionId)) continue;
      for (const token of access) if ((await statusWith(this.app, { token })) !== 401) survivors.push(token);
      for (const token of refresh) if ((await this.refresh(token)) !== 401) survivors.push(token);
    }
    return survivors;
  }

  /** Sessions that other instances would not hear of in time, or that the database still holds for standing. */
  async untold(): Promise<string[]> {
    const untold: string[] = [];
    for (const [sessionId, { access }] of this.grants) {
      if (!this.mustBeDead(sessionId)) continue;
      const expiry = new Date(Math.max(...access.map((token) => expiryOf(token).getTime())));
      const lines = await this.app.inDatabase((tx) =>
        tx.findBy<RevocationEntry>('RevocationEntry', { subjectId: sessionId }),
      );
      const standing = await this.app.rows('SELECT id FROM sessions WHERE id = ? AND revoked_at IS NULL', [
        sessionId,
      ]);
      if (standing.length > 0 || !lines.some(({ expiresAt }) => expiresAt >= expiry)) untold.push(sessionId);
    }
    return untold;
  }

  /** Sessions that nobody has ended and that do not work all the same. */
  async killedForNothing(): Promise<string[]> {
    const killed: string[] = [];
    for (const [sessionId, { access, refresh }] of this.grants) {
      if (this.mustBeDead(sessionId)) continue;
      for (const token of access) if ((await statusWith(this.app, { token })) !== 200) killed.push(sessionId);
      if ((await this.refresh(refresh.at(-1) ?? '')) !== 200) killed.push(sessionId);
    }
    return killed;
  }

  /** Statuses of calls that were refused for a reason that there is not. */
  unfounded(): number[] {
    return this.refusals.filter(({ reason }) => !reason()).map(({ status }) => status);
  }

  /** What a login is answered with the password of old, and with the one that is right. */
  async logins(): Promise<[old: number, right: number]> {
    const statusOf = async (password: string): Promise<number> => {
      const body = { username: this.person.username, password };
      return (await this.app.call('POST', '/auth/login', { body })).status;
    };
    return [await statusOf(this.person.password), await statusOf(this.rightPassword)];
  }

  expectedLogins(): [old: number, right: number] {
    const right = this.disabled ? 403 : 200;
    return [this.changed ? 401 : right, right];
  }

  private get rightPassword(): string {
    return this.changed ? NEW_PASSWORD : this.person.password;
  }

  private own(session: Which): LoginBody {
    return this.first[session] as LoginBody;
  }

  private mustBeDead(sessionId: string): boolean {
    if (this.disabled || this.ended.has(sessionId)) return true;
    return this.spared !== undefined && this.spared !== sessionId;
  }

  private async changePassword(token: string, headers: Record<string, string>): Promise<void> {
    const body = { currentPassword: this.person.password, newPassword: NEW_PASSWORD };
    const { status } = await this.app.call('POST', '/users/me/password', { token, body, headers });
    const sid = sessionIdOf({ token });
    if (status !== 204) {
      return this.refuse(status, {
        401: () => this.mustBeDead(sid),
        403: () => this.changed || this.disabled,
      });
    }
    // Of two who knew the old password only one can have changed it.
    expect(this.changed).toBe(false);
    this.changed = true;
    this.spared = sid;
  }

  private noteGrant({ status, body }: Answer, reasons: Reasons): void {
    if (status === 200) this.note(body as unknown as TokensBody);
    else this.refuse(status, reasons);
  }

  private refuse(status: number, reasons: Reasons): void {
    this.refusals.push({ status, reason: reasons[status] ?? (() => false) });
  }

  private note({ token, refreshToken }: TokensBody): void {
    const sid = sessionIdOf({ token });
    const grants = this.grants.get(sid) ?? { access: [], refresh: [] };
    this.grants.set(sid, grants);
    grants.access.push(token);
    grants.refresh.push(refreshToken);
  }

  private async refresh(refreshToken: string): Promise<number> {
    return (await this.app.call('POST', '/auth/refresh', { body: { refreshToken } })).status;
  }
}

describe('logins, refreshes, logouts, a password change and a disabled account, in any order of their steps', () => {
  const failpoints = new TestFailpoints();
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ RATE_LIMITS: 'off' }, { failpoints })));
  afterAll(() => app.close());

  it(
    'leave nothing alive that was ended, and end nothing else',
    () =>
      explore(schedules, rounds(50, 10_000), async ({ deeds, choices }) => {
        const witness = await Witness.of(app);
        const calls = deeds.map((deed) => witness.callFor(deed));

        await app.clock.suspendedDuring(() =>
          interleave(failpoints, calls, choices, () => app.clock.advance(SECONDS_PER_TURN)),
        );

        expect(await witness.survivors()).toEqual([]);
        expect(await witness.untold()).toEqual([]);
        expect(await witness.killedForNothing()).toEqual([]);
        expect(witness.unfounded()).toEqual([]);
        expect(await witness.logins()).toEqual(witness.expectedLogins());
      }),
    PROOF_TIMEOUT_MS,
  );
});
